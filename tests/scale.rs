//! A hundred thousand waiting requests, and a million keys.

use std::{
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use allocation_counter::measure;
use testing::{now, virtual_time};
use tokio::{
    task::{JoinSet, yield_now},
    time::{sleep, timeout},
};
use tower_together::{
    Endpoint, Limiter, Limits, Quota,
    extension::ApiKey,
    limiter::{Acquire, Call, Reason},
};

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

#[test]
fn keys_that_come_and_go_take_under_64_mib_and_one_who_waits_keeps_its_place() {
    keys_that_come_and_go(A_QUARTER_OF_A_MILLION);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn a_million_keys_that_come_and_go_take_under_64_mib_and_one_who_waits_keeps_its_place() {
    keys_that_come_and_go(4 * A_QUARTER_OF_A_MILLION);
}

#[test]
fn keys_at_once_fill_the_table_and_the_rest_are_told_when_to_come_again() {
    keys_at_once(A_QUARTER_OF_A_MILLION);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn a_million_keys_at_once_fill_the_table_and_the_rest_are_told_when_to_come_again() {
    keys_at_once(4 * A_QUARTER_OF_A_MILLION);
}

fn keys_that_come_and_go(keys: u32) {
    let used = bytes_used(async || {
        let limiter = Limiter::default();
        // Work for as long as the others arrive and leave.
        let requests = u64::from(keys / 10_000);
        let mut regular = JoinSet::new();
        for n in 0..requests {
            let turn = limiter.acquire(chat().with_key(ApiKey::new("regular")));
            regular.spawn(async move { turn.await.map(|permit| (n, permit.waited())) });
            yield_now().await;
        }
        // Its turn lapses, since it is not polled.
        let parked = chat().with_key(ApiKey::new("parked"));
        drop(limiter.try_acquire(&parked).unwrap());
        let mut turn = pin!(limiter.acquire(parked.clone()));
        assert!(futures::poll!(turn.as_mut()).is_pending());

        let mut random = fastrand::Rng::with_seed(1);
        for n in 0..keys {
            let permit = limiter.try_acquire(chat().with_key(random_key(&mut random)));
            drop(permit.expect("there are keys to forget"));
            if n % 100 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        for n in 0..requests {
            let (next, waited) = regular.join_next().await.unwrap().unwrap().unwrap();
            assert_eq!(next, n, "in order");
            let due = Duration::from_nanos(100_333_334 * n);
            let late = waited.checked_sub(due).expect("not early");
            assert!(late < Duration::from_millis(2), "{n} is {late:?} late");
        }
        assert_eq!(limiter.snapshot().keys, 100_000);
        // Its key has not changed: it is charged now.
        drop(turn.await.unwrap());
        assert!(limiter.try_acquire(&parked).is_err());
        limiter
    });
    assert!(used < 64 << 20, "{used} bytes");
}

fn keys_at_once(keys: u32) {
    let used = bytes_used(async || {
        let limiter = Limiter::default();
        let regular = || chat().with_key(ApiKey::new("regular"));
        drop(limiter.try_acquire(regular()).unwrap());
        let mut waiting = pin!(limiter.acquire(regular()));
        assert!(futures::poll!(waiting.as_mut()).is_pending());

        let mut random = fastrand::Rng::with_seed(2);
        let mut again = Duration::ZERO;
        for n in 0..keys {
            let result = limiter.try_acquire(chat().with_key(random_key(&mut random)));
            // One of the 100,000 is the regular.
            if n < 99_999 {
                drop(result.unwrap());
                continue;
            }
            let rejected = result.unwrap_err();
            assert_eq!(rejected.reason(), Reason::KeysFull);
            again = rejected.retry_after().expect("an instant is known");
            assert!(again > Duration::ZERO);
        }
        assert_eq!(limiter.snapshot().keys, 100_000);

        let start = now();
        drop(waiting.await.unwrap());
        let waited = start.elapsed().as_millis();
        assert!((100..=102).contains(&waited), "{waited} ms");
        sleep(again.saturating_sub(start.elapsed())).await;
        let permit = limiter.try_acquire(chat().with_key(random_key(&mut random)));
        drop(permit.expect("it was told to come now"));
        limiter
    });
    assert!(used < 64 << 20, "{used} bytes");
}

/// The heap bytes that `act` leaves in use, with the limiter that it returns.
fn bytes_used(act: impl AsyncFnOnce() -> Limiter) -> i64 {
    let runtime = virtual_time();
    let mut kept = None;
    let used = measure(|| kept = Some(runtime.block_on(act())));
    used.bytes_current
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

fn a_hundred_a_millisecond() -> Limits {
    Limits::none().requests(CHAT, Quota::per_minute(6_000_000).unwrap())
}

fn chat() -> Call {
    Call::new(CHAT)
}

fn random_key(random: &mut fastrand::Rng) -> ApiKey {
    let key: String = std::iter::repeat_with(|| random.alphanumeric())
        .take(32)
        .collect();
    ApiKey::new(&key)
}

const CHAT: Endpoint = Endpoint::ChatCompletions;
/// As many as may wait, and the one that need not.
const MANY: usize = 100_001;
/// More than twice the table.
const A_QUARTER_OF_A_MILLION: u32 = 250_000;
