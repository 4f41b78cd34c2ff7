//! Faults that were found once, each with its story.
#![allow(
    clippy::disallowed_methods,
    reason = "in virtual time, but where threads are the point"
)]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use std::{
    convert::Infallible,
    future::Future,
    num::NonZeroU32,
    sync::Arc,
    task::{Context, Wake, Waker},
    time::Duration,
};
use testing::until;
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer,
    extension::Deadline,
    limiter::{Call, Reason},
};

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
    drop(limiter.try_acquire(&chat()).unwrap());
    let mut w = task::spawn(limiter.acquire(chat()));
    assert_pending!(w.poll());
    let models = limiter.try_acquire(&Call::new(Endpoint::Models));
    let embed = limiter.try_acquire(&Call::new(EMB));
    assert!(models.is_ok(), "nothing limits it");
    assert!(embed.is_ok(), "its lane is free");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_nobody_who_need_not_wait() {
    let limiter = Limiter::new(per_minute(60)).with_max_waiting(1);
    drop(limiter.try_acquire(&chat()).unwrap());
    let mut w = task::spawn(limiter.acquire(chat()));
    assert_pending!(w.poll());
    let mut free = task::spawn(limiter.acquire(Call::new(Endpoint::Models)));
    let _ = assert_ready!(free.poll()).expect("nothing limits it, it need not wait");
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

/// Its deadline stayed behind, and refused it again for another reason.
#[tokio::test(start_paused = true)]
async fn what_never_fits_is_refused_once_and_for_that() {
    let tokens = |n| Limits::none().tokens(CHAT, q(n));
    let limiter = Limiter::new(tokens(1000));
    drop(limiter.try_acquire(&chat().with_tokens(1000)).unwrap());
    let mut w = task::spawn(
        limiter.acquire(
            chat()
                .with_tokens(500)
                .with_deadline(Duration::from_secs(70)),
        ),
    );
    assert_pending!(w.poll());
    limiter.set_limits(tokens(400));
    assert!(w.is_woken());
    sleep(Duration::from_secs(100)).await;
    assert_eq!(limiter.snapshot().refused, 1);
    let r = assert_ready!(w.poll()).unwrap_err();
    assert_eq!(r.reason(), Reason::NeverFits);
}

#[tokio::test(start_paused = true)]
async fn what_never_fits_any_more_is_told_at_once_wherever_it_stands() {
    let tokens = |n| Limits::none().tokens(CHAT, q(n));
    let limiter = Limiter::new(tokens(1000));
    drop(limiter.try_acquire(&chat().with_tokens(1000)).unwrap());
    let mut first = task::spawn(limiter.acquire(chat().with_tokens(100)));
    let mut second = task::spawn(limiter.acquire(chat().with_tokens(500)));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    limiter.set_limits(tokens(400));
    assert!(second.is_woken(), "it can never go");
}

/// Those refused by a lower limit were counted as if they left first.
#[tokio::test(start_paused = true)]
async fn the_hopeless_before_one_do_not_make_him_hopeless() {
    let limiter = Limiter::new(per_minute(60));
    drop(limiter.try_acquire(&chat()).unwrap());
    let mut hasty: Vec<_> = (0..5)
        .map(|_| task::spawn(limiter.acquire(chat().with_deadline(Duration::from_secs(10)))))
        .collect();
    for h in &mut hasty {
        assert_pending!(h.poll());
    }
    let mut last = task::spawn(limiter.acquire(chat().with_deadline(Duration::from_secs(20))));
    assert_pending!(last.poll());
    limiter.set_limits(per_minute(10)); // 6 s each: one of the five stays, the last leaves after 12 s
    let stay: Vec<_> = hasty.iter().map(|h| !h.is_woken()).collect();
    assert_eq!(stay, [true, false, false, false, false]);
    assert!(!last.is_woken(), "refused, though 12 s < 20 s");
}

/// 3,000 a minute for chat stayed under the 600 that chat and embeddings were guessed to share.
#[tokio::test(start_paused = true)]
async fn a_number_of_ones_own_ends_a_smaller_guess_at_what_is_shared() {
    let limits = Limits::default().requests(CHAT, q(3_000));
    let limiter = Limiter::new(limits);
    let start = Instant::now();
    for _ in 0..100 {
        drop(limiter.acquire(chat()).await.unwrap());
    }
    let rate = 99.0 * 60.0 / start.elapsed().as_secs_f64();
    assert!(rate > 2_900.0, "{rate} a minute");
}

struct Bad;
impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        panic!("a bad waker");
    }
}

fn req() -> Request<Empty<Bytes>> {
    Request::post("https://api.together.ai/v1/chat/completions")
        .body(Empty::new())
        .unwrap()
}
async fn nothing<B>(_: Request<B>) -> Result<Response<Empty<Bytes>>, Infallible> {
    Ok(Response::new(Empty::new()))
}

/// Nobody polls an empty body.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_at_its_end_holds_no_slot() {
    let layer = TogetherRateLimitLayer::new(Limits::none().in_flight(CHAT, NonZeroU32::MIN));
    let svc = layer.layer(service_fn(nothing));
    let answer = svc.clone().oneshot(req()).await.unwrap();
    assert!(http_body::Body::is_end_stream(answer.body()));
    assert!(
        layer.limiter().try_acquire(&chat()).is_ok(),
        "the body is at its end"
    );
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_counts_those_who_were_passed_by() {
    let limiter = Limiter::new(per_minute(60));
    drop(limiter.try_acquire(&chat()).unwrap());
    let mut w = task::spawn(limiter.acquire(chat()));
    assert_pending!(w.poll());
    sleep(Duration::from_secs(2)).await;
    let s = limiter.snapshot();
    assert_eq!(s.waiting, 1);
    assert_eq!(s.lanes[0].waiting, 1);
}

/// It asked for a request of no tokens.
#[tokio::test(start_paused = true)]
async fn a_snapshot_tells_when_the_first_in_line_may_go() {
    let limiter = Limiter::new(Limits::none().tokens(CHAT, q(1000)));
    drop(limiter.try_acquire(&chat().with_tokens(1000)).unwrap());
    let mut w = task::spawn(limiter.acquire(chat().with_tokens(10)));
    assert_pending!(w.poll());
    let s = limiter.snapshot();
    assert!(s.lanes[0].next.is_some(), "{:?}", s.lanes[0]);
}

/// It waited for the slot until its deadline, which the rate alone made impossible.
#[tokio::test(start_paused = true)]
async fn a_taken_slot_hides_no_certain_wait() {
    let limiter = Limiter::new(per_minute(1).in_flight(CHAT, NonZeroU32::MIN));
    let _hold = limiter.try_acquire(&chat()).unwrap();
    let mut w = task::spawn(limiter.acquire(chat().with_deadline(Duration::from_secs(10))));
    let r = assert_ready!(w.poll()).unwrap_err();
    assert_eq!(r.reason(), Reason::Deadline);
}

/// It kept the clone that had answered `Pending` when it came; the permit was handed to it long before
/// its turn, and nobody else could go.
#[tokio::test(start_paused = true)]
async fn one_who_waits_for_the_rate_holds_no_place_in_the_inner_services_queue() {
    // First is under way and holds ConcurrencyLimit(1); second must wait for the rate, and is parked;
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

/// `without` can leave two lines about the same thing; both got one id, and one bucket was lost.
#[tokio::test(start_paused = true)]
async fn the_same_table_again_forgets_nothing() {
    let table = || {
        Limits::none()
            .requests(CHAT, q(600))
            .shared([CHAT, EMB], q(1))
            .without(EMB)
    };
    let limiter = Limiter::new(table());
    drop(limiter.try_acquire(&chat()).unwrap());
    sleep(Duration::from_secs(1)).await;
    assert!(limiter.try_acquire(&chat()).is_err());
    limiter.set_limits(table());
    assert!(
        limiter.try_acquire(&chat()).is_err(),
        "the same table again forgot what was sent"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_shared_is_the_same_in_any_order() {
    let limiter = Limiter::new(
        Limits::none()
            .shared([CHAT, EMB], q(60))
            .shared([EMB, CHAT], q(6000)),
    );
    drop(limiter.acquire(chat()).await.unwrap());
    assert_eq!(limiter.snapshot().lanes[0].limits.len(), 1);
}

/// "In 0.0 s", where the caller's own lane was free.
#[tokio::test(start_paused = true)]
async fn a_full_queue_says_when_to_ask_again() {
    let limiter = Limiter::new(per_minute(60)).with_max_waiting(1);
    let k = |n: &str| chat().with_key(tower_together::extension::ApiKey::new(n));
    drop(limiter.try_acquire(&k("a")).unwrap());
    let mut w = task::spawn(limiter.acquire(k("a")));
    assert_pending!(w.poll());
    drop(limiter.try_acquire(&k("b")).unwrap());
    sleep(Duration::from_millis(999)).await;
    let r = limiter.acquire(k("b")).await.unwrap_err();
    assert!(r.retry_after().unwrap() > Duration::from_millis(100), "{r}");
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_panics_leaves_nobody_behind() {
    use std::sync::atomic::*;
    struct S(Arc<AtomicUsize>);
    impl Clone for S {
        fn clone(&self) -> Self {
            if self.0.fetch_add(1, Ordering::SeqCst) == 2 {
                panic!("clone")
            }
            S(self.0.clone())
        }
    }
    impl Service<Request<Empty<Bytes>>> for S {
        type Response = Response<Empty<Bytes>>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
            std::future::ready(Ok(Response::new(Empty::new())))
        }
    }

    let layer = TogetherRateLimitLayer::new(per_minute(60));
    let mut svc = layer.layer(S(Arc::new(AtomicUsize::new(0))));
    svc.call(req()).await.unwrap();
    let second = svc.call(req());
    let r = tokio::spawn(second).await;
    assert!(r.is_err());
    assert_eq!(layer.limiter().snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_was_lowered_says_when_it_has_room() {
    let limiter = Limiter::new(Limits::none().requests(CHAT, q(10).unpaced()));
    for _ in 0..10 {
        drop(limiter.try_acquire(&chat()).unwrap());
        sleep(Duration::from_secs(2)).await;
    }
    limiter.set_limits(Limits::none().requests(CHAT, q(1).unpaced()));
    // All ten must be forgotten: at 18 + 60 s; now is 20 s.
    let r = limiter.try_acquire(&chat()).unwrap_err();
    assert!(r.retry_after().unwrap() > Duration::from_secs(57), "{r:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_waited_says_how_long() {
    let limiter = Limiter::new(Limits::none().in_flight(CHAT, NonZeroU32::MIN))
        .with_max_wait(Duration::from_secs(5));
    let _p = limiter.try_acquire(&chat()).unwrap();
    let svc = TogetherRateLimitLayer::from(limiter.clone()).layer(service_fn(nothing));
    let a = svc.oneshot(req()).await.unwrap();
    assert!(
        a.extensions()
            .get::<tower_together::extension::Waited>()
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_an_inner_layer_is_no_429_of_the_server() {
    let outer = TogetherRateLimitLayer::new(Limits::none());
    let inner = TogetherRateLimitLayer::new(per_minute(1));
    let svc = outer.layer(inner.layer(service_fn(nothing)));
    svc.clone().oneshot(req()).await.unwrap();
    let mut r = req();
    r.extensions_mut()
        .insert(Deadline::within(Duration::from_secs(1)));
    let a = svc.clone().oneshot(r).await.unwrap();
    assert_eq!(a.status(), 429);
    assert_eq!(outer.limiter().snapshot().throttled, 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_key_table_says_when_to_ask_again() {
    let limiter = Limiter::new(Limits::none().in_flight(CHAT, NonZeroU32::MIN)).with_max_keys(1);
    let k = |n: &str| chat().with_key(tower_together::extension::ApiKey::new(n));
    let _p = limiter.try_acquire(&k("a")).unwrap();
    let svc = TogetherRateLimitLayer::from(limiter.clone()).layer(service_fn(nothing));
    let a = svc.oneshot(req()).await.unwrap();
    assert_eq!(a.status(), 429);
    assert!(a.headers().contains_key("retry-after"));
}

/// It unwound through a claim half done, and the process aborted.
#[test]
fn a_waker_that_panics_harms_nobody_else() {
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _g = rt.enter();
    let limiter = Limiter::new(Limits::none().in_flight(CHAT, NonZeroU32::new(2).unwrap()));
    let p1 = limiter.try_acquire(&chat()).unwrap();
    let p2 = limiter.try_acquire(&chat()).unwrap();
    let mut a = Box::pin(limiter.acquire(chat()));
    let _ = a.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let bad = Waker::from(Arc::new(Bad));
    let mut b = Box::pin(limiter.acquire(chat()));
    let _ = b.as_mut().poll(&mut Context::from_waker(&bad));
    drop(p1);
    drop(p2);
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _ = a.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }));
    drop(b);
    assert_eq!(limiter.snapshot().waiting, 0);
    drop(limiter.try_acquire(&chat()).expect("nothing is under way"));
}

#[tokio::test]
async fn threads_runtimes_cancellations_and_changes_all_come_to_an_end() {
    let limits = |n: u64| {
        Limits::none()
            .requests(CHAT, Quota::per_second(n).unwrap())
            .in_flight(CHAT, NonZeroU32::new(3).unwrap())
            .requests(EMB, Quota::per_second(n * 2).unwrap())
            .shared([CHAT, EMB], Quota::per_second(n * 2).unwrap())
    };
    let limiter = Limiter::new(limits(400)).with_max_keys(3);
    let layer = TogetherRateLimitLayer::from(limiter.clone());
    let svc = layer.layer(ConcurrencyLimit::new(
        service_fn(|r: Request<Empty<Bytes>>| async move {
            sleep(Duration::from_micros(fastrand::u64(0..3000))).await;
            nothing(r).await
        }),
        2,
    ));
    let threads: Vec<_> = (0..4)
        .map(|t| {
            let (svc, limiter) = (svc.clone(), limiter.clone());
            std::thread::spawn(move || {
                let rt = if t % 2 == 0 {
                    tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                } else {
                    tokio::runtime::Builder::new_multi_thread()
                        .worker_threads(2)
                        .enable_all()
                        .build()
                }
                .unwrap();
                rt.block_on(async move {
                    let mut set = tokio::task::JoinSet::new();
                    for i in 0..500u32 {
                        let svc = svc.clone();
                        let limiter = limiter.clone();
                        set.spawn(async move {
                            let path = if fastrand::bool() {
                                "chat/completions"
                            } else {
                                "embeddings"
                            };
                            let mut r = Request::post(format!("https://api.together.ai/v1/{path}"))
                                .body(Empty::<Bytes>::new())
                                .unwrap();
                            r.extensions_mut()
                                .insert(tower_together::extension::ApiKey::new(
                                    ["a", "b"][fastrand::usize(0..2)],
                                ));
                            r.extensions_mut()
                                .insert(tower_together::extension::Caller::new(
                                    ["x", "y", "z"][fastrand::usize(0..3)],
                                ));
                            if i % 7 == 0 {
                                r.extensions_mut()
                                    .insert(Deadline::within(Duration::from_millis(
                                        fastrand::u64(1..200),
                                    )));
                            }
                            if i % 100 == 0 {
                                limiter.set_limits(
                                    Limits::none()
                                        .requests(
                                            CHAT,
                                            Quota::per_second(fastrand::u64(300..800)).unwrap(),
                                        )
                                        .in_flight(
                                            CHAT,
                                            NonZeroU32::new(fastrand::u32(1..4)).unwrap(),
                                        )
                                        .shared(
                                            [CHAT, EMB],
                                            Quota::per_second(fastrand::u64(800..1500)).unwrap(),
                                        ),
                                );
                            }
                            if i % 5 == 0 {
                                let mut f = Box::pin(svc.oneshot(r));
                                let _ = tokio::time::timeout(
                                    Duration::from_millis(fastrand::u64(0..300)),
                                    &mut f,
                                )
                                .await;
                                if i % 10 == 0 {
                                    sleep(Duration::from_millis(30)).await;
                                }
                            } else {
                                let a = svc.oneshot(r).await.unwrap();
                                if fastrand::bool() {
                                    sleep(Duration::from_millis(2)).await;
                                }
                                drop(a);
                            }
                        });
                    }
                    while set.join_next().await.is_some() {}
                });
            })
        })
        .collect();
    until("all threads have ended", async || {
        threads.iter().all(|t| t.is_finished())
    })
    .await;
    for t in threads {
        t.join().unwrap();
    }
    let s = limiter.snapshot();
    assert_eq!(s.waiting, 0);
    for l in s.lanes {
        for m in l.limits {
            if m.measure == tower_together::limiter::Measure::InFlight {
                assert_eq!(m.left, m.max);
            }
        }
    }
}

/// An executor that is busy polls late.
#[tokio::test(start_paused = true)]
async fn nobody_leaves_after_his_deadline() {
    let limiter = Limiter::new(Limits::none().requests(CHAT, Quota::per_second(10).unwrap()));
    drop(limiter.try_acquire(&chat()).unwrap());
    let mut w = task::spawn(limiter.acquire(chat().with_deadline(Duration::from_millis(130))));
    assert_pending!(w.poll());
    sleep(Duration::from_millis(105)).await;
    assert!(w.is_woken());
    // Polled once, it moves the clock and lets no timer fire.
    assert_pending!(task::spawn(advance(Duration::from_millis(200))).poll());
    let r = assert_ready!(w.poll());
    assert_eq!(r.unwrap_err().reason(), Reason::Deadline);
}
