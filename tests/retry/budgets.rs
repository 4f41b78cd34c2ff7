//! The budget of retries.

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use testing::script::{Script, status};
use tokio::time::sleep;
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{TogetherRetryLayer, body::ReplayBuffer, retry::Budget};

use crate::{CHAT, exact, post};

#[tokio::test(start_paused = true)]
async fn a_budget_bounds_what_an_outage_is_sent() {
    let layer = TogetherRetryLayer::default().with_backoff(Duration::ZERO, Duration::ZERO);
    let script = Script::new(vec![status(500); 100_000]);
    let service = layer.layer(script.client());
    for _ in 0..1_000 {
        service.clone().oneshot(post(CHAT)).await.unwrap();
        // A clone of the layer shares the budget; another layer would not.
        layer
            .clone()
            .layer(script.client())
            .oneshot(post(CHAT))
            .await
            .unwrap();
    }
    // 2,000 and a fifth of that, and ten.
    assert_eq!(script.sent().len(), 2_410);
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_of_the_last_minute() {
    let layer = exact()
        .with_backoff(Duration::ZERO, Duration::ZERO)
        .with_budget(Budget::new(0.5, 3));
    let script = Script::new(vec![status(500); 1_000]);
    let service = layer.layer(script.client());
    for (pause, first, retries) in [(0, 20, 13), (60, 4, 5), (2, 4, 2), (600, 1, 3)] {
        sleep(Duration::from_secs(pause)).await;
        let before = script.sent().len();
        for _ in 0..first {
            service.clone().oneshot(post(CHAT)).await.unwrap();
        }
        assert_eq!(script.sent().len() - before, first + retries, "{pause}");
    }
}

/// The request is sent once, its response is returned, and no other request loses a retry.
#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_kept_costs_no_budget() {
    let layer = exact()
        .with_budget(Budget::new(0.0, 1))
        .with_replay_buffer(ReplayBuffer::new(10, 10));
    let script = Script::new([status(503), status(503)]);
    let client = script.client();
    let service = layer.layer(service_fn(move |request: Request<String>| {
        client.clone().oneshot(request.map(Full::from))
    }));
    let send = async |body: &str| {
        let request = post(CHAT).map(|_| body.to_owned());
        service.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(send("more than ten bytes").await, 503);
    assert_eq!(script.sent().len(), 1);
    assert_eq!(send("ten bytes").await, 200);
    assert_eq!(script.sent().len(), 3);
}
