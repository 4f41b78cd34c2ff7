//! `tower::timeout`.

use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use tokio::time::Instant;
use tower::{ServiceBuilder, ServiceExt, timeout::error::Elapsed};
use tower_together::{
    TogetherRateLimitLayer, TogetherRetryLayer,
    extension::{Failure, RetryReport},
};

use crate::server::{Server, chat, every};

const PATIENCE: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn outside_it_counts_the_wait_and_whoever_gives_up_has_cost_nothing() {
    let server = Server::new(100);
    let client = ServiceBuilder::new()
        .timeout(PATIENCE)
        .layer(every(5))
        .service(server.client());
    let started = Instant::now();
    client.clone().oneshot(chat()).await.unwrap();
    let error = client.clone().oneshot(chat()).await.unwrap_err();
    assert!(error.is::<Elapsed>());
    assert_eq!(started.elapsed(), Duration::from_millis(3_100));
    // The next request leaves when the timed-out request would have left.
    client.oneshot(chat()).await.unwrap();
    assert_eq!(server.left(), [0, 5]);
}

#[tokio::test(start_paused = true)]
async fn inside_it_does_not_count_the_wait() {
    let server = Server::new(100);
    let client = ServiceBuilder::new()
        .layer(every(5))
        .timeout(PATIENCE)
        .service(server.client());
    let calls = join_all((0..3).map(|_| client.clone().oneshot(chat()))).await;
    assert!(calls.iter().all(Result::is_ok));
    assert_eq!(server.left(), [0, 5, 10]);
}

#[tokio::test(start_paused = true)]
async fn inside_it_ends_an_attempt_that_hangs_and_another_is_made() {
    let slow = Server::new(60_000);
    let client = ServiceBuilder::new()
        .layer(TogetherRetryLayer::default().with_max_retries(1))
        .layer(every(5))
        .timeout(PATIENCE)
        .service(slow.client());
    let error = client.oneshot(chat()).await.unwrap_err();
    assert!(error.is::<Elapsed>());
    assert_eq!(slow.left(), [0, 5]);
}

/// A known mistake: the timeout is in the wrong place, because the retry layer retries a request that never left.
#[tokio::test(start_paused = true)]
async fn between_the_two_it_takes_a_wait_for_a_failed_attempt() {
    let server = Server::new(100);
    let limit: TogetherRateLimitLayer = every(5);
    let client = ServiceBuilder::new()
        .layer(TogetherRetryLayer::default())
        .timeout(PATIENCE)
        .layer(limit)
        .service(server.client());
    client.clone().oneshot(chat()).await.unwrap();
    let response = client.oneshot(chat()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let report = response.extensions().get::<RetryReport>().unwrap();
    assert_eq!(report.failures(), [Failure::TimedOut]);
    assert_eq!(server.left(), [0, 5]);
}
