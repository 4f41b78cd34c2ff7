//! A hundred thousand waiting requests.

use std::{
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use testing::{now, virtual_time};
use tokio::{
    task::{JoinSet, yield_now},
    time::timeout,
};
use tower_together::{Limiter, limiter::Acquire};

use super::{a_hundred_a_millisecond, bytes_used, chat};

#[test]
fn a_hundred_thousand_leave_in_the_order_they_came_in_three_polls_each() {
    virtual_time().block_on(async {
        let start = now();
        let left = Arc::new(Mutex::new(Vec::new()));
        let limiter = Limiter::new(a_hundred_a_millisecond());
        let mut tasks = JoinSet::new();
        for n in 0..MANY {
            let turn = limiter.acquire(chat());
            let left = Arc::clone(&left);
            tasks.spawn(async move {
                let (permit, polls) = count_polls(turn).await;
                drop(permit.unwrap());
                left.lock().unwrap().push(n);
                polls
            });
        }
        let all = async {
            let mut most = 0;
            while let Some(polls) = tasks.join_next().await {
                most = most.max(polls.unwrap());
            }
            most
        };
        let most = timeout(Duration::from_secs(10), all).await;
        let most = most.expect("somebody is never woken");
        assert!(most <= 3, "{most} polls");
        assert!(left.lock().unwrap().iter().copied().eq(0..MANY));
        let took = start.elapsed();
        assert!((1_000..=1_005).contains(&took.as_millis()), "{took:?}");
    });
}

#[test]
fn one_who_waits_costs_under_512_bytes() {
    // Both hold the same futures, and only one of them polls them.
    let bytes = [true, false].map(|waits| {
        let mut tasks = JoinSet::new();
        bytes_used(async || {
            let limiter = Limiter::new(a_hundred_a_millisecond());
            let started = Arc::new(AtomicUsize::new(0));
            for _ in 0..MANY {
                tasks.spawn(hold(limiter.acquire(chat()), waits, Arc::clone(&started)));
            }
            while started.load(Ordering::Relaxed) < MANY {
                yield_now().await;
            }
            let expected = if waits { MANY - 1 } else { 0 };
            assert_eq!(limiter.snapshot().waiting, expected);
            limiter
        })
    });
    let each = (bytes[0] - bytes[1]) / MANY as i64;
    assert!((1..512).contains(&each), "{each} bytes");
}

async fn count_polls<F: Future>(future: F) -> (F::Output, u32) {
    let mut future = pin!(future);
    let mut polls = 0;
    let output = poll_fn(|cx| {
        polls += 1;
        future.as_mut().poll(cx)
    });
    (output.await, polls)
}

async fn hold(turn: Acquire, waits: bool, started: Arc<AtomicUsize>) {
    started.fetch_add(1, Ordering::Relaxed);
    if waits {
        drop(turn.await.unwrap());
    }
    pending().await
}

/// As many as may wait, and the one that need not.
const MANY: usize = 100_001;
