//! Rejections: of which request, when, and with which message.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer,
    extension::Deadline,
    limiter::{Call, Reason},
};

use crate::{CHAT, chat, nothing, per_minute, q, req};

#[tokio::test(start_paused = true)]
async fn a_full_queue_rejects_nobody_who_need_not_wait() {
    let limiter = Limiter::new(per_minute(60)).with_max_waiting(1);
    drop(limiter.try_acquire(chat()).unwrap());
    let mut w = task::spawn(limiter.acquire(chat()));
    assert_pending!(w.poll());
    let mut free = task::spawn(limiter.acquire(Call::new(Endpoint::Models)));
    let _ = assert_ready!(free.poll()).expect("nothing limits it, it need not wait");
}

/// Its deadline stayed behind, and rejected it again for another reason.
#[tokio::test(start_paused = true)]
async fn what_never_fits_is_rejected_once_and_for_that() {
    let tokens = |n| Limits::none().tokens(CHAT, q(n));
    let limiter = Limiter::new(tokens(1000));
    drop(limiter.try_acquire(chat().with_tokens(1000)).unwrap());
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
    drop(limiter.try_acquire(chat().with_tokens(1000)).unwrap());
    let mut first = task::spawn(limiter.acquire(chat().with_tokens(100)));
    let mut second = task::spawn(limiter.acquire(chat().with_tokens(500)));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    limiter.set_limits(tokens(400));
    assert!(second.is_woken(), "it can never go");
}

/// Requests rejected by a lower limit were counted as if they left first.
#[tokio::test(start_paused = true)]
async fn the_hopeless_before_one_do_not_make_him_hopeless() {
    let limiter = Limiter::new(per_minute(60));
    drop(limiter.try_acquire(chat()).unwrap());
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
    assert!(!last.is_woken(), "rejected, though 12 s < 20 s");
}

/// It waited for the slot until its deadline, which the rate alone made impossible.
#[tokio::test(start_paused = true)]
async fn a_taken_slot_hides_no_certain_wait() {
    let limiter = Limiter::new(per_minute(1).in_flight(CHAT, NonZeroU32::MIN));
    let _hold = limiter.try_acquire(chat()).unwrap();
    let mut w = task::spawn(limiter.acquire(chat().with_deadline(Duration::from_secs(10))));
    let r = assert_ready!(w.poll()).unwrap_err();
    assert_eq!(r.reason(), Reason::Deadline);
}

/// "In 0.0 s", where the caller's own lane was free.
#[tokio::test(start_paused = true)]
async fn a_full_queue_says_when_to_ask_again() {
    let limiter = Limiter::new(per_minute(60)).with_max_waiting(1);
    let k = |n: &str| chat().with_key(tower_together::extension::ApiKey::new(n));
    drop(limiter.try_acquire(k("a")).unwrap());
    let mut w = task::spawn(limiter.acquire(k("a")));
    assert_pending!(w.poll());
    drop(limiter.try_acquire(k("b")).unwrap());
    sleep(Duration::from_millis(999)).await;
    let r = limiter.acquire(k("b")).await.unwrap_err();
    assert!(r.retry_after().unwrap() > Duration::from_millis(100), "{r}");
}

#[tokio::test(start_paused = true)]
async fn a_window_that_was_lowered_says_when_it_has_room() {
    let limiter = Limiter::new(Limits::none().requests(CHAT, q(10).unpaced()));
    for _ in 0..10 {
        drop(limiter.try_acquire(chat()).unwrap());
        sleep(Duration::from_secs(2)).await;
    }
    limiter.set_limits(Limits::none().requests(CHAT, q(1).unpaced()));
    // All ten must be forgotten: at 18 + 60 s; now is 20 s.
    let r = limiter.try_acquire(chat()).unwrap_err();
    assert!(r.retry_after().unwrap() > Duration::from_secs(57), "{r:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_that_waited_says_how_long() {
    let limiter = Limiter::new(Limits::none().in_flight(CHAT, NonZeroU32::MIN))
        .with_max_wait(Duration::from_secs(5));
    let _p = limiter.try_acquire(chat()).unwrap();
    let svc = TogetherRateLimitLayer::from(limiter.clone()).layer(service_fn(nothing));
    let a = svc.oneshot(req()).await.unwrap();
    assert!(
        a.extensions()
            .get::<tower_together::extension::Waited>()
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn a_rejection_of_an_inner_layer_is_no_429_of_the_server() {
    let outer = TogetherRateLimitLayer::new(Limits::none());
    let inner = TogetherRateLimitLayer::new(per_minute(1));
    let svc = outer.layer(inner.layer(service_fn(nothing)));
    svc.clone().oneshot(req()).await.unwrap();
    let mut r = req();
    r.extensions_mut()
        .insert(Deadline::within(Duration::from_secs(1)));
    let a = svc.clone().oneshot(r).await.unwrap();
    assert_eq!(a.status(), 429);
    assert_eq!(outer.limiter().snapshot().throttled_count, 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_key_table_says_when_to_ask_again() {
    let limiter = Limiter::new(Limits::none().in_flight(CHAT, NonZeroU32::MIN)).with_max_keys(1);
    let k = |n: &str| chat().with_key(tower_together::extension::ApiKey::new(n));
    let _p = limiter.try_acquire(k("a")).unwrap();
    let svc = TogetherRateLimitLayer::from(limiter.clone()).layer(service_fn(nothing));
    let a = svc.oneshot(req()).await.unwrap();
    assert_eq!(a.status(), 429);
    assert!(a.headers().contains_key("retry-after"));
}

/// A busy executor polls late.
#[tokio::test(start_paused = true)]
async fn nobody_leaves_after_his_deadline() {
    let limiter = Limiter::new(Limits::none().requests(CHAT, Quota::per_second(10).unwrap()));
    drop(limiter.try_acquire(chat()).unwrap());
    let mut w = task::spawn(limiter.acquire(chat().with_deadline(Duration::from_millis(130))));
    assert_pending!(w.poll());
    sleep(Duration::from_millis(105)).await;
    assert!(w.is_woken());
    // Polled once, it moves the clock and lets no timer fire.
    assert_pending!(task::spawn(advance(Duration::from_millis(200))).poll());
    let r = assert_ready!(w.poll());
    assert_eq!(r.unwrap_err().reason(), Reason::Deadline);
}
