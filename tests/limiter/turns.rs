//! Offers of a turn, which lapse if they are not claimed.

use std::{future::Future, num::NonZeroU32, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower_together::{Limiter, Limits};

use crate::{CHAT, chat, pass, per_minute};

#[tokio::test(start_paused = true)]
async fn one_who_is_not_polled_delays_the_others_by_ten_milliseconds_once() {
    let limiter = Limiter::new(per_minute(60));
    let _first = limiter.acquire(chat()).await.unwrap();
    let start = Instant::now();
    let mut parked = task::spawn(limiter.acquire(chat()));
    assert_pending!(parked.poll());
    for n in 1..=3 {
        pass(&limiter, chat()).await;
        let due = Duration::from_micros(1_003_334) * n;
        let late = start.elapsed().saturating_sub(due);
        assert!(late <= Duration::from_millis(11), "{n}: {late:?}");
    }
    assert!(parked.is_woken());
    // It kept its place: polled again it is the next.
    assert_pending!(parked.poll());
    let other = limiter.acquire(chat());
    tokio::pin!(other);
    tokio::select! {
        biased;
        permit = &mut other => panic!("overtaken: {permit:?}"),
        permit = &mut parked => drop(permit.unwrap()),
    }
}

/// Each request that arrives makes the limiter look at the lane again. This does not prolong a turn.
#[tokio::test(start_paused = true)]
async fn a_turn_lapses_after_ten_milliseconds_however_often_the_limiter_looks_at_the_lane() {
    for polled_after in [9, 11] {
        let limiter = Limiter::new(per_minute(60));
        pass(&limiter, chat()).await;
        let mut parked = task::spawn(limiter.acquire(chat()));
        assert_pending!(parked.poll());
        let mut second = task::spawn(limiter.acquire(chat()));
        assert_pending!(second.poll());
        // Tokio's timers fire at whole milliseconds.
        sleep(Duration::from_millis(1_004)).await;
        assert!(parked.is_woken() && !second.is_woken());
        let mut later = Vec::new();
        for _ in 0..3 {
            sleep(Duration::from_millis(3)).await;
            let mut third = task::spawn(limiter.acquire(chat()));
            assert_pending!(third.poll());
            later.push(third);
            assert!(!second.is_woken());
        }
        sleep(Duration::from_millis(polled_after - 9)).await;
        assert_eq!(second.is_woken(), polled_after > 10);
        let (next, last) = match polled_after {
            9 => (&mut parked, &mut second),
            _ => (&mut second, &mut parked),
        };
        drop(assert_ready!(next.poll()).unwrap());
        assert_pending!(last.poll());
        // The skipped request keeps its place before later ones.
        let left = Instant::now();
        drop(last.await.unwrap());
        let waited = left.elapsed().as_millis();
        assert!((950..=1_004).contains(&waited), "{waited}");
        assert!(later.iter().all(|third| !third.is_woken()));
    }
}

/// A waiter that was polled and lost its turn would never be woken again.
#[tokio::test(start_paused = true)]
async fn a_turn_does_not_lapse_while_it_is_claimed() {
    let limiter = Limiter::new(per_minute(60));
    pass(&limiter, chat()).await;
    let mut late = task::spawn(limiter.acquire(chat()));
    assert_pending!(late.poll());
    sleep(Duration::from_millis(1_004)).await;
    assert!(late.is_woken());
    // The turn is over by the clock, and the timer has not fired yet.
    let mut passing = task::spawn(tokio::time::advance(Duration::from_millis(11)));
    assert_pending!(passing.poll());
    drop(assert_ready!(late.poll()).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_comes_free_is_offered_to_one_lane() {
    let limits = Limits::none().in_flight(CHAT, NonZeroU32::MIN);
    let limiter = Limiter::new(limits).adaptive(false);
    let of_model = |model: &str| chat().with_model(model);
    let permit = limiter.acquire(of_model("a")).await.unwrap();
    let mut first = task::spawn(limiter.acquire(of_model("b")));
    let mut second = task::spawn(limiter.acquire(of_model("c")));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    drop(permit);
    assert!(first.is_woken() && !second.is_woken());
    assert!(limiter.try_acquire(of_model("a")).is_err());
    drop(assert_ready!(first.poll()).unwrap());
    assert!(second.is_woken());
}

/// Tokio's timers wake a task that has spent its budget again at once.
#[tokio::test(start_paused = true)]
async fn a_task_that_has_spent_its_budget_can_wait() {
    let limiter = Limiter::new(per_minute(60));
    pass(&limiter, chat()).await;
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
    (0..1_000).for_each(|n| send.send(n).unwrap());
    let mut waiting = std::pin::pin!(limiter.acquire(chat()));
    let mut spent = false;
    let permit = std::future::poll_fn(|cx| {
        while receive.poll_recv(cx).is_ready() {}
        spent |= !receive.is_empty();
        waiting.as_mut().poll(cx)
    })
    .await;
    assert!(spent);
    drop(permit.unwrap());
}
