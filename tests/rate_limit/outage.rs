//! What a lane learns from a server that does not respond.

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
use tower_together::{Limits, TogetherRateLimitLayer};

/// More than 600 a minute for ten minutes.
const ENOUGH: u64 = 8_000;

/// What comes of the nth request: a status or an error, and after how long.
type Fate = fn(u64) -> (Option<u16>, Duration);

/// The most that leave in one of ten minutes, of a lane that always has work and starts with 600 a minute.
async fn most_in_a_minute(fate: Fate) -> usize {
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
    let callers = LocalSet::new();
    for _ in 0..600 {
        let service = service.clone();
        callers.spawn_local(async move {
            loop {
                let request = Request::post("https://api.together.ai/v1/chat/completions");
                let _ = service
                    .clone()
                    .oneshot(request.body(Full::default()).unwrap())
                    .await;
            }
        });
    }
    let _ = timeout(Duration::from_secs(600), callers).await;
    let left = left.borrow();
    let minute = |from: &Instant| *from..*from + Duration::from_secs(60);
    let in_minute = |from| left.iter().filter(|at| minute(from).contains(at)).count();
    left.iter().step_by(100).map(in_minute).max().unwrap()
}

/// A gateway's lane went from 600 to 3,270 a minute within 40 s while connections were refused.
#[tokio::test(start_paused = true)]
async fn failures_are_no_reason_to_send_faster() {
    for (what, fate) in [
        ("refused", (|_| (None, Duration::from_millis(20))) as Fate),
        ("late", |_| (None, Duration::from_secs(20))),
        ("500", |_| (Some(500), Duration::from_millis(20))),
        ("503", |_| (Some(503), Duration::from_millis(20))),
        ("two of three", |nth| {
            ((nth % 3 == 0).then_some(200), Duration::from_millis(20))
        }),
    ] {
        let most = most_in_a_minute(fate).await;
        assert!(most <= 600, "{what}: {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_now_and_then_hides_no_higher_limit() {
    let fate: Fate = |nth| ((nth % 3 > 0).then_some(200), Duration::from_millis(20));
    assert!(most_in_a_minute(fate).await > 1_200);
}
