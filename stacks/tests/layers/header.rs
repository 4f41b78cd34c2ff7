//! tower-http's `SetRequestHeaderLayer`: its position decides which layers see the header.

use futures::future::join_all;
use http::{HeaderValue, Request, header::AUTHORIZATION};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_http::set_header::SetRequestHeaderLayer;
use tower_together::{TogetherLayer, TogetherRateLimitLayer, TogetherRetryLayer};

use crate::server::{Body, Server, every};

fn key(name: &'static str) -> SetRequestHeaderLayer<HeaderValue> {
    let value = HeaderValue::from_static(name);
    SetRequestHeaderLayer::overriding(AUTHORIZATION, value)
}

fn anonymous() -> Request<Body> {
    let request = Request::post("https://api.together.ai/v1/chat/completions");
    request.body(Body::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_set_outside_is_seen() {
    let (server, layer) = (Server::new(100), every(5));
    let client = layer.layer(server.client());
    let (alice, bob) = (key("alice").layer(client.clone()), key("bob").layer(client));
    let calls = [alice.oneshot(anonymous()), bob.oneshot(anonymous())];
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    // Each key has its own limits.
    assert_eq!(server.left(), [0, 0]);
    assert_eq!(layer.limiter().snapshot().keys, 2);
}

/// A known mistake: two keys that share limits send half of what they may.
#[tokio::test(start_paused = true)]
async fn keys_that_are_set_inside_are_not_seen_and_count_as_one() {
    let (server, layer) = (Server::new(100), every(5));
    let alice = layer.layer(key("alice").layer(server.client()));
    let bob = layer.layer(key("bob").layer(server.client()));
    let calls = [alice.oneshot(anonymous()), bob.oneshot(anonymous())];
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(server.left(), [0, 5]);
    assert_eq!(layer.limiter().snapshot().keys, 1);
    let keys = server.headers("authorization");
    assert_eq!(keys, ["alice", "bob"].map(|key| Some(key.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn between_the_two_it_is_seen_and_set_for_each_attempt() {
    let server = Server::new(100).responding([502]);
    let limit: TogetherRateLimitLayer = every(5);
    let client = ServiceBuilder::new()
        .layer(TogetherRetryLayer::default())
        .layer(key("alice"))
        .layer(limit.clone())
        .service(server.client());
    client.oneshot(anonymous()).await.unwrap();
    key("bob")
        .layer(limit.layer(server.client()))
        .oneshot(anonymous())
        .await
        .unwrap();
    assert_eq!(server.left(), [0, 5, 5]);
    let keys = server.headers("authorization");
    assert_eq!(
        keys,
        ["alice", "alice", "bob"].map(|key| Some(key.to_owned()))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_set_outside_is_on_every_attempt() {
    let server = Server::new(100).responding([502, 502]);
    let client = ServiceBuilder::new()
        .layer(key("alice"))
        .layer(TogetherLayer::from(every(5)))
        .service(server.client());
    client.oneshot(anonymous()).await.unwrap();
    let keys = server.headers("authorization");
    assert_eq!(keys, vec![Some("alice".to_owned()); 3]);
}
