//! `tower::buffer`.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::sleep;
use tower::{Layer, ServiceBuilder, ServiceExt, buffer::Buffer, util::BoxService};

use crate::server::{Server, chat, chat_of, every};

#[tokio::test(start_paused = true)]
async fn inside_it_makes_a_client_that_cannot_be_cloned_fit() {
    let server = Server::new(100);
    let client = ServiceBuilder::new()
        .layer(every(5))
        .buffer(1)
        .service(BoxService::new(server.client()));
    let calls = join_all((0..3).map(|_| client.clone().oneshot(chat()))).await;
    assert!(calls.iter().all(Result::is_ok));
    assert_eq!(server.left(), [0, 5, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_place_inside_is_not_held_by_what_waits_for_its_turn() {
    let server = Server::new(100);
    let buffer = Buffer::new(server.client(), 1);
    let client = every(5).layer(buffer.clone());
    let calls = join_all((0..3).map(|_| client.clone().oneshot(chat())));
    let calls = tokio::spawn(calls);
    sleep(Duration::from_secs(1)).await;
    buffer.oneshot(chat()).await.unwrap();
    assert!(calls.await.unwrap().iter().all(Result::is_ok));
    assert_eq!(server.left(), [0, 1, 5, 10]);
}

#[tokio::test(start_paused = true)]
async fn outside_it_hands_each_on_at_once_and_one_key_does_not_delay_another() {
    let server = Server::new(100);
    let layer = every(5);
    let limiter = layer.limiter().clone();
    let client = ServiceBuilder::new()
        .buffer(1)
        .layer(layer)
        .service(server.client());
    let calls = join_all(
        ["alice", "alice", "alice", "bob"].map(|key| client.clone().oneshot(chat_of(key))),
    );
    let calls = tokio::spawn(calls);
    sleep(Duration::from_secs(1)).await;
    // The buffer's one place is free again, because all requests wait in the limiter.
    assert_eq!(limiter.snapshot().waiting, 2);
    assert!(calls.await.unwrap().iter().all(Result::is_ok));
    assert_eq!(server.left(), [0, 0, 5, 10]);
}
