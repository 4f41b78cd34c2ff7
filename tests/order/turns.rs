//! Turns of requests whose service is not ready, and of callers that are polled late.

use std::{
    future::{Future, Ready, ready},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};
use tower_together::{
    Endpoint, Limits, Quota, TogetherRateLimitLayer,
    extension::{Caller, Model},
    limiter::Call,
};

use crate::{CHAT, MINUTE, limiter, per_minute};

/// A service whose clones are ready at their second poll.
struct SecondPoll {
    polled: bool,
    polls: Arc<AtomicUsize>,
}

impl Clone for SecondPoll {
    fn clone(&self) -> Self {
        Self {
            polled: false,
            polls: Arc::clone(&self.polls),
        }
    }
}

impl<B> Service<Request<B>> for SecondPoll {
    type Response = Response<Empty<Bytes>>;
    type Error = std::convert::Infallible;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        assert!(self.polls.fetch_add(1, Relaxed) < 1_000, "they spin");
        if self.polled {
            return Poll::Ready(Ok(()));
        }
        self.polled = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        assert!(self.polled, "called before it was ready");
        self.polled = false;
        ready(Ok(Response::default()))
    }
}

fn request(caller: &'static str, model: &'static str) -> Request<Empty<Bytes>> {
    Request::post("https://api.together.ai/v1/chat/completions")
        .extension(Caller::new(caller))
        .extension(Model::new(model))
        .body(Empty::new())
        .unwrap()
}

/// Requests passed the turn around, and none was sent.
#[tokio::test(start_paused = true)]
async fn clones_that_are_ready_at_their_second_poll_are_each_polled_a_few_times() {
    let names = ["a", "b", "c", "d", "e", "f"];
    for (by_caller, spread) in [(true, false), (false, true), (true, true)] {
        let polls = Arc::default();
        let inner = SecondPoll {
            polled: false,
            polls: Arc::clone(&polls),
        };
        let shared = per_minute(600);
        let limits = Limits::none().shared([CHAT, Endpoint::Images], shared);
        let service = TogetherRateLimitLayer::from(limiter(limits)).layer(inner);
        let mut tasks = JoinSet::new();
        for name in names {
            let caller = if by_caller { name } else { "one" };
            let model = if spread { name } else { "m" };
            tasks.spawn(service.clone().oneshot(request(caller, model)));
        }
        let all = async { while tasks.join_next().await.is_some() {} };
        timeout(MINUTE, all).await.expect("all are sent");
        let polls = polls.load(Relaxed);
        assert!(polls <= 8 * names.len(), "{polls} polls");
    }
}

/// tower's own: the permit was free, and the clock never moved.
#[tokio::test(start_paused = true)]
async fn a_concurrency_limit_beneath_passes_its_permit_on() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let inner = tower::service_fn(|_: Request<Empty<Bytes>>| async {
            tokio::task::yield_now().await;
            Ok::<_, std::convert::Infallible>(Response::<Empty<Bytes>>::default())
        });
        let inner = ConcurrencyLimit::new(inner, 1);
        let limits = Limits::none().requests(CHAT, Quota::per_second(50).unwrap());
        let service = TogetherRateLimitLayer::from(limiter(limits)).layer(inner);
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            let names = ["a", "b", "c"];
            let one = request(names[random.usize(..3)], names[random.usize(..3)]);
            let (service, after) = (service.clone(), random.u64(..60));
            let patience = Duration::from_millis(random.u64(..200));
            tasks.spawn(async move {
                sleep(Duration::from_millis(after)).await;
                let _ = timeout(patience, service.oneshot(one)).await;
            });
        }
        let all = async { while tasks.join_next().await.is_some() {} };
        timeout(MINUTE, all).await.expect("all end");
    }
}

/// Being 47 ms late cost a caller a whole round of forty others.
#[tokio::test(start_paused = true)]
async fn a_caller_that_is_polled_late_keeps_its_turn() {
    let limiter = limiter(Limits::none().requests(CHAT, Quota::per_second(1).unwrap()));
    drop(limiter.acquire(Call::new(CHAT)).await.unwrap());
    let call = |caller: &str| Call::new(CHAT).with_caller(caller);
    let mut late = pin!(limiter.acquire(call("late")));
    let mut unpolled = Context::from_waker(Waker::noop());
    assert!(late.as_mut().poll(&mut unpolled).is_pending());
    let mut tasks = JoinSet::new();
    for other in 0..40 {
        let (limiter, call) = (limiter.clone(), call(&other.to_string()));
        tasks.spawn(async move { limiter.acquire(call).await.map(drop) });
    }
    sleep(Duration::from_millis(1_005 + 47)).await;
    let start = Instant::now();
    drop(late.await.unwrap());
    assert!(
        start.elapsed() < Duration::from_millis(1_010),
        "{:?}",
        start.elapsed()
    );
}

/// The caller got a third of the others' number. It is polled in two of five of its turns, so that four others have 5.5
/// turns to each of its own, not four.
#[tokio::test(start_paused = true)]
async fn a_caller_that_is_polled_now_and_then_loses_no_more_than_the_turns_it_sleeps_through() {
    let limiter = limiter(Limits::none().requests(CHAT, Quota::per_second(20).unwrap()));
    let call = |caller: &str| Call::new(CHAT).with_caller(caller);
    let counts: Arc<[AtomicUsize; 4]> = Arc::default();
    let mut tasks = JoinSet::new();
    for caller in 0..4 {
        let (limiter, counts) = (limiter.clone(), Arc::clone(&counts));
        let call = call(&caller.to_string());
        tasks.spawn(async move {
            while let Ok(_permit) = limiter.acquire(call.clone()).await {
                counts[caller].fetch_add(1, Relaxed);
            }
        });
    }
    let mut turns = 0;
    let mut waiting = Box::pin(limiter.acquire(call("now and then")));
    for _ in 0..10_000 {
        let mut unwoken = Context::from_waker(Waker::noop());
        while let Poll::Ready(permit) = waiting.as_mut().poll(&mut unwoken) {
            drop(permit);
            turns += 1;
            waiting = Box::pin(limiter.acquire(call("now and then")));
        }
        sleep(Duration::from_millis(25)).await;
    }
    let others: Vec<_> = counts.iter().map(|count| count.load(Relaxed)).collect();
    assert!(
        others.iter().all(|other| turns * 10 >= other * 7),
        "{turns}, {others:?}"
    );
}
