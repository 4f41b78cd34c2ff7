//! One limiter in several runtimes: a timer belongs to a runtime, a limiter to none.
//!
//! In real time, since each runtime has a clock of its own; a few milliseconds each.
#![allow(
    clippy::disallowed_methods,
    reason = "real sockets and runtimes take real time"
)]

use std::{
    convert::Infallible,
    future::Future,
    num::NonZeroU32,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, channel::mpsc};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use testing::PATIENCE;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::timeout,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer,
    limiter::{Acquire, Call},
};

const CHAT: Endpoint = Endpoint::ChatCompletions;

/// One every 5 ms.
fn limiter() -> Limiter {
    let quota = Quota::new(200, Duration::from_secs(1)).unwrap();
    Limiter::new(Limits::none().requests(CHAT, quota))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// A request that waits, polled once in the runtime's context. One that need not wait leaves, and the
/// next one has to.
fn start(runtime: &Runtime, limiter: &Limiter) -> Pin<Box<Acquire>> {
    let _context = runtime.enter();
    loop {
        let mut request = Box::pin(limiter.acquire(Call::new(CHAT)));
        let context = &mut Context::from_waker(Waker::noop());
        if request.as_mut().poll(context).is_pending() {
            return request;
        }
    }
}

/// Sends `requests` requests one after the other, and panics if they hang.
fn pass(runtime: &Runtime, limiter: &Limiter, requests: usize) {
    runtime.block_on(async {
        let all = async {
            for _ in 0..requests {
                drop(limiter.acquire(Call::new(CHAT)).await.unwrap());
            }
        };
        timeout(PATIENCE, all).await.expect("somebody hangs");
    });
}

/// No request waits, so no runtime's timer is kept.
fn has_no_timer(limiter: &Limiter) {
    let shown = format!("{limiter:?}");
    assert!(shown.contains("Alarms { runtimes: 0"), "{shown}");
}

#[test]
fn a_runtime_that_nobody_drives_holds_up_nobody() {
    let (limiter, kept, other) = (limiter(), runtime(), runtime());
    let waiting = start(&kept, &limiter);
    pass(&other, &limiter, 10);
    drop(waiting);
    pass(&other, &limiter, 3);
}

#[test]
fn a_runtime_that_is_dropped_holds_up_nobody() {
    let (limiter, dropped, other) = (limiter(), runtime(), runtime());
    let waiting = start(&dropped, &limiter);
    // Its timers fire while it shuts down: at once, and again when they are due.
    drop(dropped);
    pass(&other, &limiter, 10);
    // The future itself lives on, and continues in another runtime, ahead of later requests.
    drop(other.block_on(waiting).unwrap());
    has_no_timer(&limiter);
}

#[test]
fn a_runtime_that_is_dropped_long_after_its_timer_was_due_holds_up_nobody() {
    let (limiter, dropped, other) = (limiter(), runtime(), runtime());
    let waiting = start(&dropped, &limiter);
    thread::sleep(Duration::from_millis(30));
    drop(dropped);
    pass(&other, &limiter, 10);
    drop(waiting);
}

/// A service whose one response has this status, and a body that is sent from outside.
fn streamed(
    limiter: Limiter,
    status: u16,
) -> (
    impl Future<Output = Response<impl Body<Data = Bytes>>>,
    mpsc::UnboundedSender<Result<Frame<Bytes>, Infallible>>,
) {
    let (sender, receiver) = mpsc::unbounded();
    let response = Response::builder().status(status);
    let response = response.body(StreamBody::new(receiver)).unwrap();
    let response = Arc::new(Mutex::new(Some(response)));
    let service = TogetherRateLimitLayer::from(limiter).layer(service_fn(move |_| {
        let response = response.lock().unwrap().take().unwrap();
        async { Ok::<_, Infallible>(response) }
    }));
    let request = Request::post("/v1/chat/completions").body(()).unwrap();
    (service.oneshot(request).map(Result::unwrap), sender)
}

/// Its timer had died with the first runtime, and panicked in the next.
#[test]
fn a_body_goes_on_where_its_runtime_is_dropped() {
    for late in [false, true] {
        let limits = Limits::none().in_flight(CHAT, NonZeroU32::MIN);
        let limiter = Limiter::new(limits).with_max_silence(Duration::from_millis(50));
        let (dropped, other) = (runtime(), runtime());
        let (response, sender) = streamed(limiter.clone(), 200);
        let mut body = Box::pin(dropped.block_on(response).into_body());
        let cx = &mut Context::from_waker(Waker::noop());
        let context = dropped.enter();
        assert!(body.as_mut().poll_frame(cx).is_pending());
        drop(context);
        if late {
            thread::sleep(Duration::from_millis(60));
        }
        drop(dropped);
        // Outside of any, and in another.
        assert!(body.as_mut().poll_frame(cx).is_pending());
        sender.unbounded_send(Ok(Frame::data("a".into()))).unwrap();
        let waits = async {
            assert!(body.frame().await.is_some());
            // Silent again, it gives its slot back here too.
            tokio::select! {
                _ = body.frame() => panic!("nothing was sent"),
                permit = limiter.acquire(Call::new(CHAT)) => drop(permit.unwrap()),
            }
        };
        let passed = other.block_on(async { timeout(PATIENCE, waits).await });
        passed.expect("a slot is held");
    }
}

#[test]
fn an_error_is_read_on_where_its_runtime_is_dropped() {
    let (dropped, other) = (runtime(), runtime());
    let (response, sender) = streamed(limiter(), 500);
    let mut response = pin!(response);
    let context = dropped.enter();
    let poll = response
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(poll, Poll::Pending));
    drop(context);
    drop(dropped);
    let sent = sender.unbounded_send(Ok(Frame::data("a".into())));
    assert!(sent.is_ok());
    let response = other.block_on(async { timeout(PATIENCE, response).await });
    assert_eq!(response.unwrap().status(), 500);
}

#[test]
fn tasks_that_die_with_their_runtime_leave_the_queue() {
    let (limiter, dropped, other) = (limiter(), runtime(), runtime());
    for _ in 0..50 {
        let limiter = limiter.clone();
        dropped.spawn(async move { limiter.acquire(Call::new(CHAT)).await.map(drop) });
    }
    dropped.block_on(tokio::task::yield_now());
    assert!(limiter.snapshot().waiting > 0);
    drop(dropped);
    assert_eq!(limiter.snapshot().waiting, 0);
    pass(&other, &limiter, 3);
}

#[test]
fn several_threads_and_runtimes_share_one_limiter() {
    let limiter = limiter();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| pass(&runtime(), &limiter, 20));
        }
    });
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.admitted, snapshot.waiting), (80, 0));
    has_no_timer(&limiter);
}

#[test]
fn many_workers_of_one_runtime_share_one_limiter() {
    let quota = Quota::per_second(20_000).unwrap();
    let limiter = Limiter::new(Limits::none().requests(CHAT, quota));
    let runtime = Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..64 {
            let limiter = limiter.clone();
            tasks.spawn(async move {
                for _ in 0..50 {
                    drop(limiter.acquire(Call::new(CHAT)).await.unwrap());
                }
            });
        }
        let all = async { while tasks.join_next().await.is_some() {} };
        timeout(PATIENCE, all).await.expect("somebody hangs");
    });
    assert_eq!(limiter.snapshot().admitted, 64 * 50);
}

#[test]
fn what_need_not_wait_needs_no_runtime() {
    let limiter = limiter();
    let mut acquire = Box::pin(limiter.acquire(Call::new(CHAT)));
    let poll = acquire
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(poll, Poll::Ready(Ok(_))));
}
