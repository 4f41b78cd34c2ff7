//! Lanes of a key, and the limits that they share.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower_together::{Endpoint, Limiter, Limits, Quota, extension::ApiKey, limiter::Call};

use crate::{CHAT, chat, pass, per_minute};

#[tokio::test(start_paused = true)]
async fn a_lane_behind_a_shared_limit_is_not_starved_by_light_ones() {
    let embeddings = Endpoint::Embeddings;
    let quota = Quota::per_minute(6_000).unwrap();
    let limiter = Limiter::new(Limits::none().shared_tokens([CHAT, embeddings], quota));
    pass(&limiter, chat().with_tokens(1_000)).await;
    let heavy = limiter.acquire(chat().with_tokens(3_000));
    let mut heavy = task::spawn(heavy);
    assert_pending!(heavy.poll());
    for light in 0.. {
        let mut next = task::spawn(limiter.acquire(Call::new(embeddings).with_tokens(10)));
        tokio::select! {
            biased;
            permit = &mut heavy => { drop(permit.unwrap()); break }
            permit = &mut next => drop(permit.unwrap()),
        }
        assert!(light < 2, "overtaken {light} times");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_blocked_by_its_own_limit_holds_nobody_back() {
    let embeddings = Endpoint::Embeddings;
    let limiter =
        Limiter::new(per_minute(1).shared([CHAT, embeddings], Quota::per_minute(600).unwrap()));
    pass(&limiter, chat()).await;
    let mut blocked = task::spawn(limiter.acquire(chat()));
    assert_pending!(blocked.poll());
    let start = Instant::now();
    for _ in 0..50 {
        pass(&limiter, Call::new(embeddings)).await;
    }
    assert!(
        start.elapsed() < Duration::from_millis(5_100),
        "{:?}",
        start.elapsed()
    );
    assert_pending!(blocked.poll());
}

/// Over all keys there are four lanes for each key there may be.
#[tokio::test(start_paused = true)]
async fn models_beyond_the_bound_share_a_lane_until_keys_are_forgotten() {
    let limiter = Limiter::new(per_minute(6_000)).with_max_keys(1);
    for key in ["a", "b"] {
        for model in 0..10 {
            let call = chat().with_key(ApiKey::named(key));
            pass(&limiter, call.with_model(format!("model-{model}"))).await;
        }
        let lanes = limiter.snapshot().lanes;
        assert!(lanes.iter().all(|lane| lane.key == key));
        let named: Vec<_> = lanes.iter().filter(|lane| !lane.overflow).collect();
        assert_eq!((lanes.len(), named.len()), (5, 4));
        assert_eq!(lanes[4].admitted, 6);
        sleep(Duration::from_secs(1)).await;
    }
}

/// A lane that may leave now holds the place of its request in a shared limit: one that comes to another
/// lane does not pass it.
#[tokio::test(start_paused = true)]
async fn the_last_of_a_burst_is_for_the_lane_whose_turn_it_is() {
    let limits = Limits::none().shared(
        [CHAT, Endpoint::Embeddings],
        Quota::per_minute(60).unwrap().unpaced(),
    );
    let limiter = Limiter::new(limits).adaptive(false);
    for _ in 0..60 {
        drop(limiter.acquire(chat()).await.unwrap());
    }
    let mut first = task::spawn(limiter.acquire(chat()));
    assert_pending!(first.poll());
    tokio::time::advance(Duration::from_millis(60_205)).await;
    // Sixty have left the window: one is for the first, 59 are free.
    for _ in 0..59 {
        drop(
            limiter
                .try_acquire(Call::new(Endpoint::Embeddings))
                .unwrap(),
        );
    }
    assert!(
        limiter
            .try_acquire(Call::new(Endpoint::Embeddings))
            .is_err()
    );
    drop(assert_ready!(first.poll()).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_key_has_lanes_for_as_many_models_as_it_may() {
    let limiter = Limiter::new(per_minute(6_000)).with_max_lanes(3);
    for model in ["a", "b", "c", "d", "e"] {
        pass(&limiter, chat().with_model(model)).await;
    }
    let lanes = limiter.snapshot().lanes;
    let overflow: Vec<_> = lanes.iter().map(|lane| lane.overflow).collect();
    assert_eq!(overflow, [false, false, false, true]);
    assert_eq!(lanes[0].limits[0].max, 6_000);
}
