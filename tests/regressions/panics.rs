//! Panics, threads and runtimes.

use std::{
    convert::Infallible,
    future::Future,
    num::NonZeroU32,
    sync::Arc,
    task::{Context, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use testing::until;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_together::{Limiter, Limits, Quota, TogetherRateLimitLayer, extension::Deadline};

use crate::{CHAT, EMB, chat, nothing, per_minute, req};

struct Bad;

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        panic!("a bad waker");
    }
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

/// It unwound through a claim half done, and the process aborted.
#[test]
fn a_waker_that_panics_harms_nobody_else() {
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _g = rt.enter();
    let limiter = Limiter::new(Limits::none().in_flight(CHAT, NonZeroU32::new(2).unwrap()));
    let p1 = limiter.try_acquire(chat()).unwrap();
    let p2 = limiter.try_acquire(chat()).unwrap();
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
    drop(limiter.try_acquire(chat()).expect("nothing is under way"));
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
