//! Bodies of failed responses, slow ones too.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use testing::script::{Script, status};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{
    ApiError, Limits, TogetherRateLimitLayer,
    extension::{Attempt, Deadline},
};

use crate::{CHAT, both, dawdling, exact, post};

/// The server's wait counts from the arrival of the response's head, not from the end of its body.
#[tokio::test(start_paused = true)]
async fn a_slow_body_makes_no_pause_longer() {
    let two = || ("retry-after", "2".to_owned());
    // Once with a limiter that sees the response, and once by the retry layer's own clock.
    let start = Instant::now();
    let service = both(Limits::none()).layer(dawdling(429, two(), 700));
    assert_eq!(service.oneshot(post(CHAT)).await.unwrap().status(), 200);
    assert_eq!(start.elapsed().as_millis(), 2_000);
    let start = Instant::now();
    let service = exact().layer(dawdling(429, two(), 700));
    assert_eq!(service.oneshot(post(CHAT)).await.unwrap().status(), 200);
    assert_eq!(start.elapsed().as_millis(), 2_000);
}

/// Nor does it bring a date nearer, which counts by our own clock where the server tells no time. That
/// clock does not stand still in virtual time, so this takes real time.
#[tokio::test]
async fn after_a_slow_body_nothing_leaves_before_the_date_it_was_given() {
    let date = SystemTime::now() + Duration::from_secs(2);
    let said = || ("retry-after", httpdate::fmt_http_date(date));
    let date = httpdate::parse_http_date(&said().1).unwrap();
    let noted = |again: Arc<Mutex<Option<SystemTime>>>| {
        let client = dawdling(429, said(), 700);
        service_fn(move |request: Request<Full<Bytes>>| {
            if request.extensions().get::<Attempt>().is_some() {
                *again.lock().unwrap() = Some(SystemTime::now());
            }
            client.clone().oneshot(request)
        })
    };
    let [alone, over] = [(); 2].map(|()| Arc::<Mutex<Option<SystemTime>>>::default());
    let by_itself = exact().layer(noted(Arc::clone(&alone)));
    let over_limiter = both(Limits::none()).layer(noted(Arc::clone(&over)));
    let (one, other) = tokio::join!(
        by_itself.oneshot(post(CHAT)),
        over_limiter.oneshot(post(CHAT))
    );
    assert_eq!(
        (one.unwrap().status(), other.unwrap().status()),
        (StatusCode::OK, StatusCode::OK)
    );
    for again in [alone, over] {
        let at = again.lock().unwrap().expect("it was sent again");
        assert!(at >= date, "{:?} early", date.duration_since(at));
    }
}

/// Nor of a response by gRPC, whose error is in its head.
#[tokio::test]
async fn after_a_slow_body_of_grpc_nothing_leaves_before_the_date_it_was_given() {
    let said = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    let date = httpdate::parse_http_date(&said).unwrap();
    let client = dawdling(200, ("retry-after", said), 700);
    let again = Arc::<Mutex<Option<SystemTime>>>::default();
    let noted = service_fn(|request: Request<Full<Bytes>>| {
        let is_retry = request.extensions().get::<Attempt>().is_some();
        if is_retry {
            *again.lock().unwrap() = Some(SystemTime::now());
        }
        let response = client.clone().oneshot(request);
        async move {
            let mut response = response.await?;
            if !is_retry {
                let headers = response.headers_mut();
                headers.insert("content-type", "application/grpc".parse().unwrap());
                headers.insert("grpc-status", "8".parse().unwrap());
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let response = exact().layer(noted).oneshot(post(CHAT)).await.unwrap();
    assert_eq!(response.headers().get("grpc-status"), None);
    let at = again.lock().unwrap().expect("it was retried");
    assert!(at >= date, "{:?} early", date.duration_since(at));
}

/// The body is awaited for at most a tenth of a second before the other requests are held back.
#[tokio::test(start_paused = true)]
async fn a_slow_body_lets_nobody_else_leave() {
    let layer = both(Limits::none());
    let seven = ("retry-after", "7".to_owned());
    let service = layer.layer(dawdling(429, seven, 100_000));
    let (rejected, paused) = tokio::join!(service.oneshot(post(CHAT)), async {
        sleep(Duration::from_millis(101)).await;
        layer.limiter().snapshot().lanes[0].paused
    });
    assert!(paused.is_some());
    assert_eq!(rejected.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn an_error_body_is_read_up_to_the_bound_of_the_layer_and_passed_on_whole() {
    let alone = exact().with_error_body(4, Duration::from_millis(200));
    let limited = TogetherRateLimitLayer::new(Limits::none());
    let limited = limited.with_error_body(4, Duration::from_millis(200));
    let script = Script::new(vec![status(400).body("too hot"); 2]);
    let retried = alone.layer(script.client()).oneshot(post(CHAT)).await;
    let limited_only = limited.layer(script.client()).oneshot(post(CHAT)).await;
    for response in [
        retried.unwrap().map(BodyExt::boxed),
        limited_only.unwrap().map(BodyExt::boxed),
    ] {
        let error = response.extensions().get::<ApiError>().unwrap();
        assert_eq!(error.text(), "too ");
        let whole = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(whole, "too hot");
    }
    let plain = || ("content-type", "text/plain".to_owned());
    let start = Instant::now();
    let slow = alone.layer(dawdling(400, plain(), 60_000));
    slow.oneshot(post(CHAT)).await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 200);
    let slow = limited.layer(dawdling(400, plain(), 60_000));
    slow.oneshot(post(CHAT)).await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 400);
}

#[tokio::test(start_paused = true)]
async fn a_failed_response_is_drained_within_the_bound_of_the_layer_and_half_of_what_is_left() {
    let layer = exact()
        .with_error_body(1_024, Duration::from_millis(100))
        .with_drain(1_024, Duration::from_millis(300));
    for (deadline, left) in [(60_000, 400), (250, 175)] {
        let soon = ("retry-after-ms", "10".to_owned());
        let service = layer.layer(dawdling(503, soon, 60_000));
        let start = Instant::now();
        let mut request = post(CHAT);
        let deadline = Deadline::within(Duration::from_millis(deadline));
        request.extensions_mut().insert(deadline);
        assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
        assert_eq!(start.elapsed().as_millis(), left);
    }
}
