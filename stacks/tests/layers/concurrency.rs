//! `tower::limit::ConcurrencyLimit` and `tower::load_shed`.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep};
use tower::{
    Layer, ServiceBuilder, ServiceExt, limit::ConcurrencyLimit, load_shed::error::Overloaded,
};
use tower_together::{
    TogetherRetryLayer,
    extension::{Failure, RetryReport},
};

use crate::server::{Server, chat, every};

#[tokio::test(start_paused = true)]
async fn a_slot_inside_is_not_held_by_what_waits_for_its_turn() {
    let server = Server::new(100);
    let one_at_a_time = ConcurrencyLimit::new(server.client(), 1);
    let client = every(5).layer(one_at_a_time.clone());
    client.clone().oneshot(chat()).await.unwrap();
    let waiting = tokio::spawn(client.oneshot(chat()));
    sleep(Duration::from_secs(1)).await;
    // This request bypasses the rate limit, and uses the same slot.
    let started = Instant::now();
    one_at_a_time.oneshot(chat()).await.unwrap();
    assert_eq!(started.elapsed(), Duration::from_millis(100));
    waiting.await.unwrap().unwrap();
    assert_eq!(server.left(), [0, 1, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_single_slot_inside_serves_them_all() {
    let server = Server::new(10_000);
    let client = ServiceBuilder::new()
        .layer(every(1))
        .concurrency_limit(1)
        .service(server.client());
    let calls = join_all((0..5).map(|_| client.clone().oneshot(chat()))).await;
    assert!(calls.iter().all(Result::is_ok));
    // Here the requests wait for the slot.
    assert_eq!(server.left(), [0, 10, 20, 30, 40]);
}

#[tokio::test(start_paused = true)]
async fn a_slot_outside_is_held_by_what_waits_for_its_turn() {
    let server = Server::new(100);
    let layer = every(5);
    let limiter = layer.limiter().clone();
    let client = ServiceBuilder::new()
        .concurrency_limit(2)
        .layer(layer)
        .service(server.client());
    let calls = join_all((0..4).map(|_| client.clone().oneshot(chat())));
    let calls = tokio::spawn(calls);
    sleep(Duration::from_secs(1)).await;
    // One has its response, two are inside, and the fourth has not reached the limiter.
    assert_eq!(limiter.snapshot().waiting, 2);
    assert!(calls.await.unwrap().iter().all(Result::is_ok));
    assert_eq!(server.left(), [0, 5, 10, 15]);
}

#[tokio::test(start_paused = true)]
async fn load_shed_outside_never_sheds_for_what_is_inside() {
    let server = Server::new(10_000);
    let client = ServiceBuilder::new()
        .load_shed()
        .layer(every(1))
        .concurrency_limit(1)
        .service(server.client());
    let calls = join_all((0..3).map(|_| client.clone().oneshot(chat()))).await;
    assert!(calls.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn load_shed_over_a_concurrency_limit_outside_bounds_how_many_wait() {
    let server = Server::new(100);
    let client = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(2)
        .layer(every(5))
        .service(server.client());
    let calls = join_all((0..3).map(|_| client.clone().oneshot(chat()))).await;
    let [Ok(_), Ok(_), Err(error)] = &calls[..] else {
        panic!("{calls:?}");
    };
    assert!(error.is::<Overloaded>());
    assert_eq!(server.left(), [0, 5]);
}

#[tokio::test(start_paused = true)]
async fn load_shed_inside_sheds_and_what_it_sheds_is_retried() {
    let server = Server::new(1_500);
    let stack = ServiceBuilder::new()
        .layer(every(1))
        .load_shed()
        .concurrency_limit(1)
        .service(server.client());
    let calls = join_all((0..2).map(|_| stack.clone().oneshot(chat()))).await;
    let [Ok(_), Err(error)] = &calls[..] else {
        panic!("{calls:?}");
    };
    assert!(error.is::<Overloaded>());

    let stack = TogetherRetryLayer::default().layer(stack);
    let calls = join_all((0..2).map(|_| stack.clone().oneshot(chat()))).await;
    let [Ok(_), Ok(second)] = &calls[..] else {
        panic!("{calls:?}");
    };
    let report = second.extensions().get::<RetryReport>().unwrap();
    let failed = |failure: &Failure| !matches!(failure, Failure::Status(_));
    assert!(report.failures().iter().all(failed), "{report:?}");
    assert_eq!(server.left().len(), 3);
}
