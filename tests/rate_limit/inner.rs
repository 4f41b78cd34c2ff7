//! Services beneath the layer that are not ready at once.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_together::{Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer, body::Opaque};

use crate::{chat, elapsed, nothing, per_minute};

/// Promise: a waiting request holds nothing of the inner service.
#[tokio::test(start_paused = true)]
async fn waiting_holds_no_permit_of_the_inner_service() {
    let inner = ConcurrencyLimit::new(service_fn(nothing::<Empty<Bytes>>), 1);
    let limited = per_minute(60).layer(inner.clone());
    limited.clone().oneshot(chat()).await.unwrap();
    let mut waiting = task::spawn(limited.clone().oneshot(chat()));
    assert_pending!(waiting.poll());
    // Other requests can use the one permit all the while.
    assert_eq!(elapsed(&inner, [chat()]).await, [0]);
    sleep(Duration::from_millis(1_005)).await;
    assert_ready!(waiting.poll()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiting_holds_no_slot_of_a_buffer() {
    let inner = tower::buffer::Buffer::new(service_fn(nothing::<Empty<Bytes>>), 1);
    let limited = per_minute(60).layer(inner.clone());
    limited.clone().oneshot(chat()).await.unwrap();
    let mut waiting: Vec<_> = (0..3)
        .map(|_| task::spawn(limited.clone().oneshot(chat())))
        .collect();
    for one in &mut waiting {
        assert_pending!(one.poll());
    }
    assert_eq!(elapsed(&inner, [chat()]).await, [0]);
    for one in waiting {
        one.await.unwrap();
    }
}

/// A request that waits for the inner service does not count as late: later requests keep the pace.
#[tokio::test(start_paused = true)]
async fn a_busy_inner_service_makes_nobody_leave_early() {
    let (sent, mut departures) = tokio::sync::mpsc::unbounded_channel();
    let freed = Instant::now() + Duration::from_secs(10);
    let inner = service_fn(move |_: Request<Empty<Bytes>>| {
        sent.send(Instant::now()).unwrap();
        async move {
            tokio::time::sleep_until(freed).await;
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let service = per_minute(60).layer(ConcurrencyLimit::new(inner, 2));
    let calls = (0..5).map(|_| service.clone().oneshot(chat()));
    futures::future::try_join_all(calls).await.unwrap();
    drop(service);
    let mut before = departures.recv().await.unwrap();
    while let Some(at) = departures.recv().await {
        assert!(at - before >= Duration::from_secs(1), "{:?}", at - before);
        before = at;
    }
    assert!(before > freed + Duration::from_secs(2));
}

/// A clone that returned `Pending` holds the place in the inner service's own queue. If it were dropped, its wake would
/// be lost and all requests would hang.
#[tokio::test(start_paused = true)]
async fn a_busy_inner_service_loses_nobody() {
    let inner = service_fn(|request: Request<Empty<Bytes>>| async {
        sleep(Duration::from_millis(300)).await;
        nothing(request).await
    });
    let limited = per_minute(6_000).layer(ConcurrencyLimit::new(inner, 1));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        tasks.spawn(limited.clone().oneshot(chat()));
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(start.elapsed().as_millis(), 20 * 300);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_inner_service_is_busy_holds_nobody_back() {
    let inner = ConcurrencyLimit::new(service_fn(nothing::<Empty<Bytes>>), 1);
    let limiter = Limiter::new(
        Limits::none().requests(Endpoint::ChatCompletions, Quota::per_minute(600).unwrap()),
    );
    let busy = TogetherRateLimitLayer::from(limiter.clone()).layer(inner.clone());
    let free = TogetherRateLimitLayer::from(limiter).layer(service_fn(nothing::<Empty<Bytes>>));
    let mut holder = inner.clone();
    holder.ready().await.unwrap();
    let mut stuck = task::spawn(busy.oneshot(chat()));
    assert_pending!(stuck.poll());
    let start = Instant::now();
    elapsed(&free, (0..10).map(|_| chat())).await;
    assert!(
        start.elapsed() < Duration::from_millis(1_010),
        "{:?}",
        start.elapsed()
    );
    drop(holder);
    assert!(stuck.is_woken());
    stuck.await.unwrap();
}

/// Its turn came while the inner service was busy, and lapsed before the service was ready.
#[tokio::test(start_paused = true)]
async fn a_permit_that_comes_when_it_is_not_ones_turn_is_passed_on() {
    let inner = ConcurrencyLimit::new(service_fn(nothing::<Empty<Bytes>>), 1);
    let layer = per_minute(60);
    let limited = layer.layer(inner.clone());
    let mut holder = inner.clone();
    holder.ready().await.unwrap();
    let mut first = task::spawn(limited.oneshot(chat()));
    assert_pending!(first.poll());
    elapsed(&layer.layer(service_fn(nothing)), [chat()]).await;
    drop(holder);
    assert!(first.is_woken());
    assert_pending!(first.poll());
    assert_eq!(elapsed(&inner, [chat()]).await, [0]);
    first.await.unwrap();
}

/// A service that is neither `Send` nor `'static`, with an error of no trait at all.
#[tokio::test(start_paused = true)]
async fn nothing_is_asked_of_the_inner_services_types() {
    struct NoTraits;
    let count = std::cell::Cell::new(0);
    let count = &count;
    let inner = service_fn(move |request: Request<Opaque<Empty<Bytes>>>| async move {
        count.set(count.get() + 1);
        drop(request);
        Ok::<_, NoTraits>(Response::new(Empty::<Bytes>::new()))
    });
    let service = per_minute(60).layer(inner);
    let response = service.oneshot(chat().map(Opaque::new)).await;
    assert!(response.is_ok());
    assert_eq!(count.get(), 1);
}
