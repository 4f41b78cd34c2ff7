//! The order and the instants at which requests leave.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower_together::{Endpoint, Limiter, Limits, Quota, limiter::Call};

use crate::{CHAT, chat, pass, per_minute};

#[tokio::test(start_paused = true)]
async fn requests_leave_one_by_one_in_the_order_they_came() {
    let limiter = Limiter::new(per_minute(600));
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let limiter = limiter.clone();
        tasks.spawn(async move {
            let permit = limiter.acquire(chat()).await.unwrap();
            (n, start.elapsed(), permit.waited())
        });
        tokio::task::yield_now().await;
    }
    let mut left = Vec::new();
    while let Some(done) = tasks.join_next().await {
        left.push(done.unwrap());
    }
    assert!(left.is_sorted_by_key(|(n, ..)| *n));
    for pair in left.windows(2) {
        let gap = pair[1].1 - pair[0].1;
        assert!((99..=102).contains(&gap.as_millis()), "{gap:?}");
    }
    let last = left.last().unwrap();
    assert_eq!(last.1, last.2);
    assert!(
        (19_900..=20_000).contains(&last.1.as_millis()),
        "{:?}",
        last.1
    );
}

/// A request that left after a quiet time counted as late, so that the next left 50 ms early: a server that takes one a
/// second rejected it.
#[tokio::test(start_paused = true)]
async fn nobody_leaves_early_because_nobody_wanted_to_leave_before() {
    let limiter = Limiter::new(per_minute(60).in_flight(CHAT, NonZeroU32::MIN));
    let mut before = None;
    let mut keeps_apart = |what: &str| {
        let gap = before.replace(Instant::now()).map(|at| at.elapsed());
        let enough = gap.is_none_or(|gap| gap >= Duration::from_secs(1));
        assert!(enough, "after {what}: {gap:?}");
    };
    for what in ["a quiet time", "the first", "the second"] {
        sleep(Duration::from_secs(if what == "a quiet time" {
            60
        } else {
            0
        }))
        .await;
        pass(&limiter, chat()).await;
        keeps_apart(what);
    }
    // It waits for a slot, not for the pace.
    let slow = limiter.acquire(chat()).await.unwrap();
    keeps_apart("the third");
    let freed = async {
        sleep(Duration::from_secs(10)).await;
        drop(slow);
    };
    tokio::join!(pass(&limiter, chat()), freed);
    keeps_apart("a slot");
    pass(&limiter, chat()).await;
    keeps_apart("one that waited for a slot");
    // It waits for the server.
    let rejected = limiter.acquire(chat()).await.unwrap();
    keeps_apart("the pace");
    rejected.throttled(Some(Duration::from_secs(5)));
    drop(rejected);
    for _ in 0..20 {
        pass(&limiter, chat()).await;
        keeps_apart("a pause");
    }
}

/// The paced limit counted what a window had kept as late, and the next left early; and so after
/// another table came.
#[tokio::test(start_paused = true)]
async fn nobody_leaves_early_after_a_window_or_a_change_of_table() {
    let rarely = Quota::new(1, Duration::from_secs(10)).unwrap().unpaced();
    let shared = Quota::per_minute(60).unwrap();
    let both = Limits::none()
        .requests(CHAT, rarely)
        .shared([CHAT, Endpoint::Images], shared);
    let limiter = Limiter::new(both);
    let images = || Call::new(Endpoint::Images);
    pass(&limiter, chat()).await;
    // Kept for ten seconds by the window alone.
    pass(&limiter, chat()).await;
    let left = Instant::now();
    pass(&limiter, images()).await;
    assert!(
        left.elapsed() >= Duration::from_secs(1),
        "{:?}",
        left.elapsed()
    );

    let limiter = Limiter::new(per_minute(1));
    pass(&limiter, chat()).await;
    let mut second = task::spawn(limiter.acquire(chat()));
    assert_pending!(second.poll());
    sleep(Duration::from_secs(5)).await;
    limiter.set_limits(Limits::none().shared([CHAT, Endpoint::Images], shared));
    let left = Instant::now();
    drop(second.await.unwrap());
    pass(&limiter, images()).await;
    assert!(
        left.elapsed() >= Duration::from_secs(1),
        "{:?}",
        left.elapsed()
    );
}

/// Promise: late by up to 50 ms, even if its own task was busy.
#[tokio::test(start_paused = true)]
async fn who_is_polled_late_delays_nobody_after_it() {
    let limiter = Limiter::new(per_minute(600));
    let start = Instant::now();
    pass(&limiter, chat()).await;
    let mut late = task::spawn(limiter.acquire(chat()));
    assert_pending!(late.poll());
    sleep(Duration::from_millis(141)).await;
    drop(assert_ready!(late.poll()).unwrap());
    pass(&limiter, chat()).await;
    assert!(
        start.elapsed() <= Duration::from_millis(202),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn dropping_one_who_waits_costs_nothing_and_the_next_moves_up() {
    let limiter = Limiter::new(per_minute(60));
    let _first = limiter.acquire(chat()).await.unwrap();
    let start = Instant::now();
    let mut second = task::spawn(limiter.acquire(chat()));
    let mut third = task::spawn(limiter.acquire(chat()));
    assert_pending!(second.poll());
    assert_pending!(third.poll());
    sleep(Duration::from_millis(500)).await;
    drop(second);
    drop(third.await.unwrap());
    assert!(
        start.elapsed() < Duration::from_millis(1_010),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_higher_limit_is_felt_at_once() {
    let limiter = Limiter::new(per_minute(1));
    let _first = limiter.acquire(chat()).await.unwrap();
    let mut second = task::spawn(limiter.acquire(chat()));
    assert_pending!(second.poll());
    limiter.set_limits(per_minute(600));
    let start = Instant::now();
    drop(second.await.unwrap());
    assert!(
        start.elapsed() <= Duration::from_millis(102),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_lane_go_in_turn() {
    let limiter = Limiter::new(per_minute(600));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..1_010 {
        let limiter = limiter.clone();
        let caller = if n < 1_000 { "many" } else { "few" };
        tasks.spawn(async move {
            pass(&limiter, chat().with_caller(caller)).await;
            caller
        });
        tokio::task::yield_now().await;
    }
    let mut few = 0;
    for departures in 1.. {
        few += u32::from(tasks.join_next().await.unwrap().unwrap() == "few");
        if few == 10 {
            assert!(departures <= 22, "the ten were done after {departures}");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_rejected_by_the_server_goes_in_front() {
    let limiter = Limiter::new(per_minute(60)).clone();
    pass(&limiter, chat()).await;
    let mut first = task::spawn(limiter.acquire(chat()));
    let mut again = task::spawn(limiter.acquire(chat().as_retry()));
    assert_pending!(first.poll());
    assert_pending!(again.poll());
    sleep(Duration::from_millis(1_005)).await;
    assert!(again.is_woken());
    let _ = assert_ready!(again.poll()).unwrap();
    assert_pending!(first.poll());
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_before_a_request_that_has_the_turn() {
    let limiter = Limiter::new(per_minute(60));
    pass(&limiter, chat()).await;
    let mut first = task::spawn(limiter.acquire(chat()));
    assert_pending!(first.poll());
    sleep(Duration::from_millis(1_004)).await;
    assert!(first.is_woken());
    let mut again = task::spawn(limiter.acquire(chat().as_retry()));
    drop(assert_ready!(again.poll()).unwrap());
    assert_pending!(first.poll());
    drop(first.await.unwrap());
}
