//! A lane's learning from a server that does not respond.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::{
    task::LocalSet,
    time::{Instant, sleep, timeout},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{Endpoint, Limiter, Limits, TogetherRateLimitLayer, limiter::Call};

/// More than 600 a minute for ten minutes.
const ENOUGH: u64 = 8_000;

/// The outcome of the nth request: a status or an error, and the time until then.
type Fate = fn(u64) -> (Option<u16>, Duration);

/// The most requests that leave in one of ten minutes, from a lane that always has work and starts with 600 a minute.
/// `callers` drop a request after `patience`.
async fn most_in_a_minute(fate: Fate, callers: usize, patience: Duration) -> usize {
    let layer = TogetherRateLimitLayer::new(Limits::default());
    let (left, nth) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
    let service = layer.layer(service_fn({
        let left = Rc::clone(&left);
        move |_: Request<Full<Bytes>>| {
            left.borrow_mut().push(Instant::now());
            nth.set(nth.get() + 1);
            let (status, after) = fate(nth.get());
            let after = if nth.get() > ENOUGH {
                Duration::MAX
            } else {
                after
            };
            async move {
                sleep(after).await;
                let status =
                    status.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset))?;
                let response = Response::builder().status(status);
                Ok::<_, io::Error>(response.body(Full::<Bytes>::default()).unwrap())
            }
        }
    }));
    let tasks = LocalSet::new();
    for _ in 0..callers {
        let service = service.clone();
        tasks.spawn_local(async move {
            loop {
                let request = Request::post("https://api.together.ai/v1/chat/completions");
                let request = request.body(Full::default()).unwrap();
                let _ = timeout(patience, service.clone().oneshot(request)).await;
            }
        });
    }
    let _ = timeout(Duration::from_secs(600), tasks).await;
    let left = left.borrow();
    let minute = |from: &Instant| *from..*from + Duration::from_secs(60);
    let in_minute = |from| left.iter().filter(|at| minute(from).contains(at)).count();
    left.iter().step_by(100).map(in_minute).max().unwrap()
}

/// A gateway's lane went from 600 to 3,270 a minute within 40 s while connections were refused.
#[tokio::test(start_paused = true)]
async fn failures_are_no_reason_to_send_faster() {
    for (what, fate) in [
        (
            "no connection",
            (|_| (None, Duration::from_millis(20))) as Fate,
        ),
        ("late", |_| (None, Duration::from_secs(20))),
        ("500", |_| (Some(500), Duration::from_millis(20))),
        ("503", |_| (Some(503), Duration::from_millis(20))),
        ("two of three", |nth| {
            ((nth % 3 == 0).then_some(200), Duration::from_millis(20))
        }),
    ] {
        let most = most_in_a_minute(fate, 600, Duration::MAX).await;
        assert!(most <= 600, "{what}: {most}");
    }
}

/// A lane went from 600 to 5,500 a minute while no request had a response, and to 2,880 if its callers dropped them
/// after 15 s.
#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_no_reason_to_send_faster() {
    let hangs: Fate = |_| (Some(200), Duration::MAX);
    let most_hang: Fate = |nth| {
        (
            Some(200),
            Duration::from_secs(if nth % 5 > 0 { 900 } else { 1 }),
        )
    };
    for (what, fate, callers, patience) in [
        ("callers wait", hangs, 2_000, Duration::MAX),
        ("callers drop", hangs, 600, Duration::from_secs(15)),
        ("callers drop soon", hangs, 600, Duration::from_millis(900)),
        ("most hang", most_hang, 2_000, Duration::MAX),
        ("most are dropped", most_hang, 600, Duration::from_secs(5)),
    ] {
        let most = most_in_a_minute(fate, callers, patience).await;
        assert!(most <= 600, "{what}: {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_held_is_no_reason_to_send_faster() {
    let limiter = Limiter::default();
    let mut held = Vec::new();
    let start = Instant::now();
    let acquire = || limiter.acquire(Call::new(Endpoint::ChatCompletions));
    while start.elapsed() < Duration::from_secs(150) {
        // Always more than one, so that the pace keeps the second back.
        let (one, two) = tokio::join!(acquire(), acquire());
        held.extend([one.unwrap(), two.unwrap()]);
    }
    assert!(held.len() <= 1_501, "{}", held.len());
    held.clear();
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < Duration::from_secs(150) {
        let _ = tokio::join!(acquire(), acquire());
        count += 2;
    }
    assert!(count > 2_000, "{count}");
}

/// Each request is sent twice, and the slower one dropped.
#[tokio::test(start_paused = true)]
async fn a_dropped_request_beside_each_that_has_a_response_hides_no_higher_limit() {
    let fate: Fate = |nth| {
        (
            Some(200),
            Duration::from_secs(if nth % 2 > 0 { 1 } else { 900 }),
        )
    };
    let most = most_in_a_minute(fate, 600, Duration::from_secs(90)).await;
    assert!(most > 1_200, "{most}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_response_hides_no_higher_limit() {
    let fate: Fate = |_| (Some(200), Duration::from_secs(40));
    let most = most_in_a_minute(fate, 2_000, Duration::MAX).await;
    assert!(most > 1_200, "{most}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_now_and_then_hides_no_higher_limit() {
    let fate: Fate = |nth| ((nth % 3 > 0).then_some(200), Duration::from_millis(20));
    assert!(most_in_a_minute(fate, 600, Duration::MAX).await > 1_200);
}
