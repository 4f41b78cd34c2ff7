//! Faults that were found once, each with its story.
#![allow(
    clippy::disallowed_methods,
    reason = "in virtual time, but where threads are the point"
)]

mod panics;
mod rejections;
mod tables;

use std::{convert::Infallible, num::NonZeroU32, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, task};
use tower::{Layer, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_together::{Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer, limiter::Call};

const CHAT: Endpoint = Endpoint::ChatCompletions;
const EMB: Endpoint = Endpoint::Embeddings;

fn q(max: u64) -> Quota {
    Quota::per_minute(max).unwrap()
}

fn per_minute(max: u64) -> Limits {
    Limits::none().requests(CHAT, q(max))
}

fn chat() -> Call {
    Call::new(CHAT)
}

#[tokio::test(start_paused = true)]
async fn a_free_lane_lets_pass_whatever_else_waits() {
    let limiter = Limiter::new(per_minute(60).requests(EMB, q(60)));
    drop(limiter.try_acquire(chat()).unwrap());
    let mut w = task::spawn(limiter.acquire(chat()));
    assert_pending!(w.poll());
    let models = limiter.try_acquire(Call::new(Endpoint::Models));
    let embed = limiter.try_acquire(Call::new(EMB));
    assert!(models.is_ok(), "nothing limits it");
    assert!(embed.is_ok(), "its lane is free");
}

/// The second name overwrote the first, whose slot never came back.
#[tokio::test(start_paused = true)]
async fn a_job_named_twice_is_one_job() {
    let create = Call::new(Endpoint::FineTuneCreate);
    let limiter =
        Limiter::new(Limits::none().jobs(Endpoint::FineTuneCreate, NonZeroU32::new(2).unwrap()));
    for _ in 0..2 {
        let mut p = limiter.try_acquire(&create).unwrap();
        p.hold_for_job("ft-1");
    }
    assert!(limiter.job_ended("ft-1"));
    let _a = limiter.try_acquire(&create).unwrap();
    let _b = limiter.try_acquire(&create).expect("no job is left");
}

fn req() -> Request<Empty<Bytes>> {
    Request::post("https://api.together.ai/v1/chat/completions")
        .body(Empty::new())
        .unwrap()
}

async fn nothing<B>(_: Request<B>) -> Result<Response<Empty<Bytes>>, Infallible> {
    Ok(Response::new(Empty::new()))
}

/// An empty body is never polled.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_at_its_end_holds_no_slot() {
    let layer = TogetherRateLimitLayer::new(Limits::none().in_flight(CHAT, NonZeroU32::MIN));
    let svc = layer.layer(service_fn(nothing));
    let response = svc.clone().oneshot(req()).await.unwrap();
    assert!(http_body::Body::is_end_stream(response.body()));
    assert!(
        layer.limiter().try_acquire(chat()).is_ok(),
        "the body is at its end"
    );
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_counts_those_who_were_passed_by() {
    let limiter = Limiter::new(per_minute(60));
    drop(limiter.try_acquire(chat()).unwrap());
    let mut w = task::spawn(limiter.acquire(chat()));
    assert_pending!(w.poll());
    sleep(Duration::from_secs(2)).await;
    let s = limiter.snapshot();
    assert_eq!(s.waiting, 1);
    assert_eq!(s.lanes[0].waiting, 1);
}

/// It asked for a request of no tokens.
#[tokio::test(start_paused = true)]
async fn a_snapshot_tells_when_the_first_of_the_queue_may_go() {
    let limiter = Limiter::new(Limits::none().tokens(CHAT, q(1000)));
    drop(limiter.try_acquire(chat().with_tokens(1000)).unwrap());
    let mut w = task::spawn(limiter.acquire(chat().with_tokens(10)));
    assert_pending!(w.poll());
    let s = limiter.snapshot();
    assert!(s.lanes[0].next.is_some(), "{:?}", s.lanes[0]);
}

/// It kept the clone that had returned `Pending` when it arrived. The permit was handed to it long before its turn, and
/// no other request could leave.
#[tokio::test(start_paused = true)]
async fn one_who_waits_for_the_rate_holds_no_place_in_the_inner_services_queue() {
    // First is in flight and holds ConcurrencyLimit(1); second must wait for the rate, and is parked;
    let layer = TogetherRateLimitLayer::new(per_minute(60));
    let inner = ConcurrencyLimit::new(
        service_fn(|r| async {
            sleep(Duration::from_millis(500)).await;
            nothing::<Empty<Bytes>>(r).await
        }),
        1,
    );
    let svc = layer.layer(inner);
    let mut first = task::spawn(svc.clone().oneshot(req()));
    assert_pending!(first.poll());
    let mut parked = task::spawn(svc.clone().oneshot(req()));
    assert_pending!(parked.poll());
    let start = Instant::now();
    first.await.unwrap();
    let third = tokio::time::timeout(Duration::from_secs(60), svc.clone().oneshot(req())).await;
    assert!(
        third.is_ok(),
        "a request that waits for the rate and is not polled holds the permit"
    );
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
}
