//! Up to a million keys.

use std::{pin::pin, time::Duration};

use testing::now;
use tokio::{
    task::{JoinSet, yield_now},
    time::sleep,
};
use tower_together::{Limiter, extension::ApiKey, limiter::Reason};

use super::{bytes_used, chat};

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

fn random_key(random: &mut fastrand::Rng) -> ApiKey {
    let key: String = std::iter::repeat_with(|| random.alphanumeric())
        .take(32)
        .collect();
    ApiKey::new(&key)
}

/// More than twice the table.
const A_QUARTER_OF_A_MILLION: u32 = 250_000;
