//! The conditions under which a key is forgotten, to make room for another.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready, task};
use tower_together::{
    Endpoint, Limiter, Limits, Quota,
    extension::ApiKey,
    limiter::{Call, Permit, Reason},
};

use super::{CHAT, chat, of_key, per_minute};

/// Whether a limiter for one key has room for this key, or when it will have.
fn room_for(key: &str, limiter: &Limiter) -> Result<(), Option<Duration>> {
    let call = of_key(key).with_tokens(1);
    let rejected = match limiter.try_acquire(&call) {
        Ok(_) => return Ok(()),
        Err(rejected) => rejected,
    };
    assert_eq!(rejected.reason(), Reason::KeysFull);
    Err(rejected.retry_after())
}

/// A key that is forgotten too early comes back as new, and more leave than its limit allows.
#[tokio::test(start_paused = true)]
async fn a_key_is_forgotten_when_its_quota_is_whole_again_and_not_before() {
    let quota = Quota::per_minute(61).unwrap().with_burst(2).unwrap();
    // An unpaced quota is whole one window after the last departure. A paced one is whole two intervals
    // after the first, plus the time that a departure may be late.
    let window = Duration::from_millis(60_200);
    let paced = Duration::from_nanos(2 * 1_003_333_334 + 50_000_000 - 100_000_000);
    for (limits, wait) in [
        (Limits::none().requests(CHAT, quota.unpaced()), window),
        (Limits::none().tokens(CHAT, quota.unpaced()), window),
        (Limits::none().requests(CHAT, quota), paced),
        (Limits::none().tokens(CHAT, quota), paced),
        // The later of two.
        (
            Limits::none()
                .requests(CHAT, quota.unpaced())
                .tokens(CHAT, quota),
            window,
        ),
    ] {
        let limiter = Limiter::new(limits).with_max_keys(1);
        assert_eq!(room_for("a", &limiter), Ok(()));
        advance(Duration::from_millis(100)).await;
        assert_eq!(room_for("a", &limiter), Ok(()));
        assert_eq!(room_for("b", &limiter), Err(Some(wait)));
        advance(wait - Duration::from_nanos(1)).await;
        assert_eq!(room_for("b", &limiter), Err(Some(Duration::from_nanos(1))));
        advance(Duration::from_nanos(1)).await;
        assert_eq!(room_for("b", &limiter), Ok(()));
        assert_eq!(limiter.snapshot().keys, 1);
    }
}

/// The limiter searches again for a key to forget, though an earlier search found none.
#[tokio::test(start_paused = true)]
async fn a_key_whose_slots_are_free_again_is_forgotten() {
    let two = NonZeroU32::new(2).unwrap();
    let limiter = Limiter::new(Limits::none().in_flight(CHAT, two)).with_max_keys(1);
    let first = limiter.try_acquire(of_key("a")).unwrap();
    let second = limiter.try_acquire(of_key("a")).unwrap();
    let mut waiting = task::spawn(limiter.acquire(of_key("a")));
    assert_pending!(waiting.poll());
    assert!(room_for("b", &limiter).is_err());
    drop((first, second));
    assert!(room_for("b", &limiter).is_err(), "one waits");
    let third = assert_ready!(waiting.poll()).unwrap();
    assert!(room_for("b", &limiter).is_err(), "one is under way");
    drop(third);
    assert_eq!(room_for("b", &limiter), Ok(()));

    let create = Endpoint::FineTuneCreate;
    let limiter = Limiter::new(Limits::none().jobs(create, two)).with_max_keys(1);
    let call = Call::new(create).with_key(ApiKey::new("a"));
    let mut permit = limiter.try_acquire(&call).unwrap();
    permit.hold_for_job("ft-1");
    drop(permit);
    assert!(room_for("b", &limiter).is_err(), "its job runs");
    assert!(limiter.job_ended("ft-1"));
    assert_eq!(room_for("b", &limiter), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_forgotten_once_its_waiter_is_dropped_its_cost_settled_or_its_limit_removed() {
    let tokens = Limits::none().tokens(CHAT, Quota::per_minute(6_000).unwrap());
    let limiter = Limiter::new(tokens).with_max_keys(1);
    let dear = of_key("a").with_tokens(3_000);
    let mut permit = limiter.try_acquire(&dear).unwrap();
    assert!(room_for("b", &limiter).is_err());
    permit.settle(0);
    advance(Duration::from_millis(50)).await;
    assert_eq!(room_for("b", &limiter), Ok(()));

    let limiter = Limiter::new(per_minute(1)).with_max_keys(1);
    drop(limiter.try_acquire(of_key("a")).unwrap());
    let mut waiting = task::spawn(limiter.acquire(of_key("a")));
    assert_pending!(waiting.poll());
    advance(Duration::from_secs(70)).await;
    assert!(room_for("b", &limiter).is_err());
    drop(waiting);
    assert_eq!(room_for("b", &limiter), Ok(()));
    assert!(room_for("c", &limiter).is_err());
    limiter.set_limits(Limits::none());
    assert_eq!(room_for("c", &limiter), Ok(()));
}

/// A limiter for two keys of which `a` has learned its pace, while the other place is free.
async fn with_a_learned() -> Limiter {
    let limiter = Limiter::new(Limits::none()).with_max_keys(2);
    learn(&limiter, "a").await;
    limiter
}

async fn learn(limiter: &Limiter, key: &'static str) {
    let call = chat().with_key(ApiKey::named(key));
    limiter.acquire(call).await.unwrap().told(2.0);
    // Its pace has caught up, and its learned limit still counts.
    advance(Duration::from_secs(10)).await;
}

fn keys(limiter: &Limiter) -> Vec<String> {
    let lanes = limiter.snapshot().lanes.into_iter();
    let mut keys: Vec<_> = lanes.map(|lane| lane.key).collect();
    keys.sort();
    keys
}

fn come(limiter: &Limiter, key: &'static str) -> Permit {
    let call = chat().with_key(ApiKey::named(key));
    limiter.try_acquire(&call).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_key_that_learned_something_is_kept_while_there_are_others_to_forget() {
    let limiter = with_a_learned().await;
    for key in ["b", "c", "d", "e"] {
        drop(come(&limiter, key));
        assert_eq!(keys(&limiter), ["a", key]);
    }
}

#[tokio::test(start_paused = true)]
async fn of_keys_that_learned_something_the_longest_idle_is_forgotten() {
    let limiter = Limiter::new(Limits::none()).with_max_keys(3);
    for key in ["a", "b", "c"] {
        learn(&limiter, key).await;
    }
    learn(&limiter, "d").await;
    assert_eq!(keys(&limiter), ["b", "c", "d"]);
    // Used since it was found idle.
    learn(&limiter, "b").await;
    learn(&limiter, "e").await;
    assert_eq!(keys(&limiter), ["b", "d", "e"]);
}

/// A search looks at a few keys only. Meanwhile the table holds a 64th more than its size, and never more.
#[tokio::test(start_paused = true)]
async fn a_table_of_busy_keys_holds_a_64th_more_until_it_has_looked_at_all_of_them() {
    const KEYS: u32 = 6_400;
    let limiter = Limiter::new(Limits::none().requests(CHAT, Quota::per_minute(600).unwrap()));
    let limiter = limiter.with_max_keys(KEYS as usize);
    let uses = |keys: std::ops::Range<u32>| {
        keys.map(|key| room_for(&key.to_string(), &limiter))
            .collect::<Vec<_>>()
    };
    let keys = || limiter.snapshot().keys;
    assert!(uses(0..KEYS).iter().all(Result::is_ok));
    // Used again when each could have been forgotten.
    advance(Duration::from_millis(200)).await;
    assert!(uses(0..KEYS).iter().all(Result::is_ok));
    advance(Duration::from_millis(1)).await;
    assert!(uses(KEYS..KEYS + 99).iter().all(Result::is_ok));
    assert_eq!(keys(), KEYS as usize + 99);
    let rejected = uses(KEYS + 99..KEYS + 300);
    assert!(
        rejected
            .iter()
            .all(|result| matches!(result, Err(Some(wait)) if *wait > Duration::from_millis(100))),
        "{rejected:?}"
    );
    advance(Duration::from_millis(200)).await;
    for (key, expected) in [(0, 6_436), (1, 6_400), (2, 6_400)] {
        let key = KEYS + 1_000 + key;
        assert_eq!(uses(key..key + 1), [Ok(())]);
        assert_eq!(keys(), expected);
    }
}
