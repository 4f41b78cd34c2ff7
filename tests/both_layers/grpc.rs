//! Rejections in gRPC.

use std::time::Duration;

use http::HeaderValue;
use testing::script::{Script, status};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_together::{
    Limiter, Limits, TogetherLayer, TogetherRateLimitLayer,
    extension::{Paused, RetryReport},
};

use crate::{CHAT, both, exact, per_minute, post};

/// gRPC's 8 means 429, and its 14 means 503. Both arrive in the headers of an HTTP 200.
#[tokio::test(start_paused = true)]
async fn grpc_statuses_8_and_14_pause_the_lane_and_no_other_status_does() {
    for (code, pushback, pause, throttled) in [
        (8, None, 1_000, 1),
        (8, Some("1500"), 1_500, 1),
        // A negative pushback forbids retries and names no wait.
        (8, Some("-1"), 1_000, 1),
        (14, Some("1500"), 1_500, 0),
        (14, None, 0, 0),
        (14, Some("-1"), 0, 0),
        (0, Some("1500"), 0, 0),
        (4, Some("1500"), 0, 0),
        (13, Some("1500"), 0, 0),
    ] {
        let mut reply = status(200).header("grpc-status", code);
        if let Some(pushback) = pushback {
            reply = reply.header("grpc-retry-pushback-ms", pushback);
        }
        let script = Script::new([reply.clone()]);
        let layer = TogetherRateLimitLayer::new(Limits::none());
        let service = layer.layer(script.client());
        let start = Instant::now();
        let response = service.clone().oneshot(post(CHAT)).await.unwrap();
        let until = response.extensions().get::<Paused>();
        let told = until.map_or(0, |paused| (paused.until() - start).as_millis());
        assert_eq!(told, pause, "{reply:?}");
        assert_eq!(
            layer.limiter().snapshot().throttled_count,
            throttled,
            "{reply:?}"
        );
        service.oneshot(post(CHAT)).await.unwrap();
        assert_eq!(script.millis(), [0, pause], "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_grpc_request_waits_in_its_lane_and_goes_first() {
    for code in [8, 14] {
        let reply = status(200).header("grpc-status", code);
        let script = Script::new([reply.header("grpc-retry-pushback-ms", 1_500)]);
        let service = both(Limits::none()).layer(script.client());
        let rejected = tokio::spawn(service.clone().oneshot(post(CHAT)));
        tokio::task::yield_now().await;
        let other = tokio::spawn(service.oneshot(post(CHAT)));
        let response = rejected.await.unwrap().unwrap();
        let report = response.extensions().get::<RetryReport>().unwrap();
        assert_eq!((report.attempts(), report.waited()), (2, Duration::ZERO));
        other.await.unwrap().unwrap();
        let attempts: Vec<_> = script.sent().iter().map(|sent| sent.attempt).collect();
        assert_eq!(attempts, [0, 2, 0], "{code}");
        let millis = script.millis();
        assert!(millis[1] == 1_500 && millis[2] >= 1_500, "{millis:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_of_our_own_in_grpc_is_never_retried_either() {
    let script = Script::new([]);
    let limiter = Limiter::new(per_minute(1)).with_max_wait(Duration::ZERO);
    let service = TogetherLayer::from(limiter)
        .with_retry(exact())
        .layer(script.client());
    service.clone().oneshot(post(CHAT)).await.unwrap();
    let mut grpc = post(CHAT);
    let kind = HeaderValue::from_static("application/grpc");
    grpc.headers_mut().insert("content-type", kind);
    let response = service.oneshot(grpc).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "8");
    assert!(response.extensions().get::<RetryReport>().is_none());
    assert_eq!(script.sent().len(), 1);
}
