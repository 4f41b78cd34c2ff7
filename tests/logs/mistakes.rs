//! Warnings of mistakes that nothing else shows.

use std::{convert::Infallible, fmt::Debug};

use bytes::Bytes;
use futures::future::join_all;
use http::{Request, Response, StatusCode, Version};
use http_body_util::Empty;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_together::{
    Classify, Endpoint, Limiter, Limits, Quota, TogetherLayer, TogetherRateLimitLayer,
    TogetherRetryLayer,
    extension::{ApiKey, Model},
    limiter::Call,
};

use crate::log::Log;

const TWO: &str = "more than one limiter";
const MIXED: &str = "with an API key and requests without";
const BENEATH: &str = "beneath a TogetherRateLimitLayer";
const SERVER: &str = "around a server's own routes";
const UNLIMITED: &str = "to which no limit applies";

type Body = Empty<Bytes>;

async fn nothing(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Empty::new()))
}

/// A chat with a key of this name, or without one.
fn chat(key: &str) -> Request<Body> {
    post("https://api.together.ai/v1/chat/completions", key)
}

fn post(url: &str, key: &str) -> Request<Body> {
    let mut request = Request::post(url).body(Empty::new()).unwrap();
    if !key.is_empty() {
        request.extensions_mut().insert(ApiKey::named(key));
    }
    request
}

async fn send(layer: &TogetherRateLimitLayer, request: Request<Body>) {
    layer
        .layer(service_fn(nothing))
        .oneshot(request)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_limiters_for_one_key_are_warned_of_once_for_each_key() {
    let (warnings, _guard) = Log::warnings();
    let layers = [(); 3].map(|()| TogetherRateLimitLayer::default());
    for key in ["two-a", "two-b"] {
        send(&layers[0], chat(key)).await;
        assert_eq!(warnings.of(TWO), usize::from(key == "two-b"));
        for layer in &layers {
            send(layer, chat(key)).await;
        }
    }
    assert_eq!(warnings.of(TWO), 2);
    // Keys of their own, and clones.
    let layer = TogetherRateLimitLayer::default();
    send(&layer, chat("two-c")).await;
    send(&TogetherRateLimitLayer::default(), chat("two-d")).await;
    send(&layer.clone(), chat("two-c")).await;
    send(
        &TogetherRateLimitLayer::from(layer.limiter().clone()),
        chat("two-c"),
    )
    .await;
    assert_eq!(warnings.of(TWO), 2);
    // By hand, beside a layer.
    let limiter = Limiter::default();
    let call = Call::of(&chat("two-c"));
    drop(limiter.acquire(call).await.unwrap());
    assert_eq!(warnings.of(TWO), 3);
    let all = warnings.text();
    assert!(!all.contains("two-"), "{all}");
}

/// 28 of 39 requests got a 429, and nothing reported why.
#[tokio::test(start_paused = true)]
async fn a_layer_for_each_request_is_warned_of_once() {
    let (warnings, _guard) = Log::warnings();
    let at_once = (0..39).map(async |_| {
        let client = ServiceBuilder::new()
            .layer(TogetherLayer::default())
            .service(service_fn(async |request| {
                tokio::task::yield_now().await;
                nothing(request).await
            }));
        client.oneshot(chat("each-at-once")).await.unwrap();
    });
    join_all(at_once).await;
    assert_eq!(warnings.of(TWO), 1);
    for _ in 0..39 {
        send(&TogetherRateLimitLayer::default(), chat("each-in-turn")).await;
    }
    assert_eq!(warnings.of(TWO), 2);
}

#[tokio::test(start_paused = true)]
async fn requests_with_and_without_a_key_are_warned_of_once_for_each_limiter() {
    let (warnings, _guard) = Log::warnings();
    let limiter = Limiter::default();
    let layer = TogetherRateLimitLayer::from(limiter.clone());
    send(&layer, chat("mixed-a")).await;
    send(&layer, chat("mixed-b")).await;
    // No limit applies to it: a page that any client may ask for.
    send(&layer, post("/health", "")).await;
    assert_eq!(warnings.of(MIXED), 0);
    for _ in 0..3 {
        drop(
            limiter
                .acquire(Call::new(Endpoint::Embeddings))
                .await
                .unwrap(),
        );
        assert_eq!(warnings.of(MIXED), 1);
    }
    let other = TogetherRateLimitLayer::default();
    send(&other, chat("")).await;
    send(&other, chat("mixed-c")).await;
    send(&other, chat("mixed-d")).await;
    assert_eq!(warnings.of(MIXED), 2);
}

async fn twice<S>(stack: S)
where
    S: Service<Request<Body>, Error: Debug> + Clone,
{
    for _ in 0..2 {
        stack.clone().oneshot(chat("beneath")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_layer_beneath_the_limiter_is_warned_of_once() {
    let (warnings, _guard) = Log::warnings();
    let (limit, retry) = (
        TogetherRateLimitLayer::default(),
        TogetherRetryLayer::default(),
    );
    twice(retry.layer(limit.layer(service_fn(nothing)))).await;
    twice(TogetherLayer::default().layer(service_fn(nothing))).await;
    assert_eq!(warnings.of(BENEATH), 0);
    let limit = TogetherRateLimitLayer::default();
    twice(limit.layer(retry.layer(service_fn(nothing)))).await;
    assert_eq!(warnings.of(BENEATH), 1);
    // Others stand between them, or around both.
    let stack = ServiceBuilder::new()
        .layer(TogetherRetryLayer::default())
        .layer(TogetherRateLimitLayer::default())
        .concurrency_limit(1)
        .buffer(8)
        .layer(TogetherRetryLayer::default())
        .service_fn(nothing);
    twice(stack).await;
    assert_eq!(warnings.of(BENEATH), 2);
}

/// An app's own handlers ran five times for one request.
#[tokio::test(start_paused = true)]
async fn a_retry_layer_around_a_servers_own_routes_is_warned_of_once() {
    let (warnings, _guard) = Log::warnings();
    let received = |uri: &str, version| {
        let request = Request::post(uri).version(version);
        request.body(Body::new()).unwrap()
    };
    let http1 = || received("/v1/chat/completions", Version::HTTP_11);
    let http2 = || received("http://app/v1/chat/completions", Version::HTTP_2);
    // Each layer by itself, however a request arrives.
    for request in [&http1 as &dyn Fn() -> Request<Body>, &http2] {
        let before = warnings.of(SERVER);
        let app = axum::Router::new().fallback(async || StatusCode::SERVICE_UNAVAILABLE);
        let both = app.clone().layer(TogetherLayer::default());
        let retry = app.layer(TogetherRetryLayer::default().with_max_retries(1));
        for app in [both, retry] {
            for _ in 0..2 {
                let sent = app.clone().oneshot(request().map(axum::body::Body::new));
                assert_eq!(sent.await.unwrap().status(), 503);
            }
        }
        let server = TogetherLayer::default().layer(service_fn(nothing));
        server.clone().oneshot(request()).await.unwrap();
        server.oneshot(request()).await.unwrap();
        assert_eq!(warnings.of(SERVER) - before, 3);
    }

    // A limit on an app's callers, a client that completes the URI itself, a mock, and routes left alone.
    let before = warnings.of(SERVER);
    let app = axum::Router::new().layer(TogetherRateLimitLayer::default());
    let request = http1().map(axum::body::Body::new);
    app.oneshot(request).await.unwrap();
    let client =
        service_fn(async |_: Request<Body>| Ok::<_, std::io::Error>(Response::new(Body::new())));
    let client = TogetherLayer::default().layer(client);
    client.clone().oneshot(http1()).await.unwrap();
    client.oneshot(http2()).await.unwrap();
    let mock = TogetherLayer::default().layer(service_fn(nothing));
    mock.oneshot(chat("mocked")).await.unwrap();
    let hosts = Classify::together().only_hosts(Classify::TOGETHER_HOSTS);
    let alone = TogetherLayer::default().with_classify(hosts);
    let alone = alone.layer(service_fn(nothing));
    alone.oneshot(http1()).await.unwrap();
    assert_eq!(warnings.of(SERVER), before);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_under_no_limit_are_warned_of_once() {
    let (warnings, _guard) = Log::warnings();
    let layer = TogetherRateLimitLayer::default();
    let hundred = async |layer: &TogetherRateLimitLayer, url: &str| {
        for n in 0..99 {
            send(layer, post(url, if n % 2 == 0 { "unlimited" } else { "" })).await;
        }
        let before = warnings.of(UNLIMITED);
        for _ in 0..3 {
            send(layer, post(url, "unlimited")).await;
        }
        warnings.of(UNLIMITED) - before
    };
    // An app's own route, and an endpoint for which the table has no line.
    assert_eq!(hundred(&layer, "/ask").await, 1);
    assert_eq!(hundred(&layer, "/ask").await, 0);
    let layer = TogetherRateLimitLayer::default();
    assert_eq!(hundred(&layer, "/v1/audio/speech").await, 1);
    // Hosts that are all left alone.
    let hosts = Classify::together().only_hosts(["api.together.ai"]);
    let alone = TogetherRateLimitLayer::default().with_classify(hosts);
    assert_eq!(hundred(&alone, "http://proxy/v1/chat/completions").await, 1);
    assert_eq!(hundred(&alone, "http://proxy/v1/chat/completions").await, 0);
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_not_meant_to_be_limited_are_not_warned_of() {
    let (warnings, _guard) = Log::warnings();
    let hundred = async |layer: &TogetherRateLimitLayer, request: &dyn Fn() -> Request<Body>| {
        for _ in 0..200 {
            send(layer, request()).await;
        }
        assert_eq!(warnings.of(UNLIMITED), 0);
    };
    let none = TogetherRateLimitLayer::new(Limits::none());
    hundred(&none, &|| chat("meant")).await;
    let quota = Quota::per_minute(60).unwrap();
    let limits = Limits::none().requests(Endpoint::Embeddings, quota);
    let exempt = TogetherRateLimitLayer::new(limits.exempt("mine"));
    hundred(&exempt, &|| {
        let mut request = chat("meant");
        request.extensions_mut().insert(Model::new("mine"));
        request
    })
    .await;
    let polls = || Request::get("/v1/batches/b-1").body(Empty::new()).unwrap();
    hundred(&TogetherRateLimitLayer::default(), &polls).await;
    // A client that talks to others too.
    let hosts = Classify::together().only_hosts(Classify::TOGETHER_HOSTS);
    let layer = TogetherRateLimitLayer::default().with_classify(hosts.clone());
    send(&layer, chat("meant-too")).await;
    hundred(&layer, &|| post("http://others/search", "")).await;
    // Its lane was there before its limit was.
    let limiter = Limiter::new(Limits::none());
    let layer = TogetherRateLimitLayer::from(limiter.clone()).with_classify(hosts);
    send(&layer, chat("meant-later")).await;
    limiter.set_limits(Limits::default());
    send(&layer, chat("meant-later")).await;
    hundred(&layer, &|| post("http://others/search", "")).await;
}

#[tokio::test(start_paused = true)]
async fn limiters_whose_limits_were_set_later_are_warned_of_too() {
    let (warnings, _guard) = Log::warnings();
    for count in [0, 1] {
        let limiter = Limiter::new(Limits::none());
        let layer = TogetherRateLimitLayer::from(limiter.clone());
        send(&layer, chat("later-a")).await;
        limiter.set_limits(Limits::default());
        send(&layer, chat("later-a")).await;
        assert_eq!(warnings.of(TWO), count);
        std::mem::forget(limiter);
    }
}
