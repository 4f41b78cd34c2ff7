//! The limits that a lane learns, through the limiter that holds its key.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

use std::task::{Context, Poll, Waker};

use tokio::time::{Duration, Instant, sleep};

use super::Key;
use crate::{
    limiter::{Call, KeyIndex, Limiter, Permit, turn::Nothing},
    words::{Charge, Endpoint, Limits, Quota, Report, Unit},
};

const CHAT: Endpoint = Endpoint::ChatCompletions;

fn of_model(model: &str) -> Call {
    Call::new(CHAT).with_model(model)
}

/// Reports how many tokens a second the server allows.
fn name_tokens(permit: &mut Permit, per_second: f64) {
    permit.report(&Report::limit(Unit::Tokens, per_second));
}

#[tokio::test(start_paused = true)]
async fn tokens_are_counted_of_the_model_of_which_the_server_named_a_limit() {
    let limiter = Limiter::new(Limits::none());
    for model in ["first", "second"] {
        drop(limiter.acquire(of_model(model)).await.unwrap());
    }
    let mut permit = limiter.acquire(of_model("second")).await.unwrap();
    name_tokens(&mut permit, 100.0);
    let counts = |model| limiter.turn().counts_tokens(&of_model(model));
    assert_eq!(["first", "second", "new"].map(counts), [false, true, false]);
}

/// A request that may cost more than the lane takes in a minute is admitted for the cost of a minute.
#[tokio::test(start_paused = true)]
async fn a_response_that_is_only_feared_costs_no_more_than_a_minute_of_the_learned_tokens() {
    let limiter = Limiter::new(Limits::none());
    let mut permit = limiter.acquire(Call::new(CHAT)).await.unwrap();
    name_tokens(&mut permit, 10.0);
    for (prompt, least) in [(300, 300), (500, 590)] {
        let mut call = Call::new(CHAT);
        call.charge = Charge::Expected {
            prompt,
            choices: 2,
            most: Some(1_000),
        };
        let charged = || {
            let lane = |key: &Key| key.lanes[0].charged;
            limiter
                .shared
                .with(|state, _| state.registry.get(KeyIndex::MIN).map_or(0, lane))
        };
        let before = charged();
        drop(limiter.acquire(call).await.unwrap());
        let cost = charged() - before;
        assert!((least..=600).contains(&cost), "{prompt}: {cost}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_tokens_passes_one_that_owes_them() {
    let limiter = Limiter::new(Limits::none());
    let mut permit = limiter.acquire(of_model("m").with_tokens(1)).await.unwrap();
    name_tokens(&mut permit, 1.0);
    drop(
        limiter
            .acquire(of_model("m").with_tokens(30))
            .await
            .unwrap(),
    );
    let free = limiter.acquire(of_model("m")).await.unwrap();
    assert!(free.waited() < Duration::from_secs(1));
    let dear = limiter.acquire(of_model("m").with_tokens(1)).await.unwrap();
    assert!(dear.waited() > Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn a_number_that_the_user_wrote_bounds_what_is_learned() {
    let limits = Limits::none().requests(CHAT, Quota::per_minute(600).unwrap());
    let limiter = Limiter::new(limits);
    let permit = limiter.acquire(Call::new(CHAT)).await.unwrap();
    permit.told(1_000.0);
    let lane = limiter.snapshot().lanes.remove(0);
    let learned: Vec<_> = lane.limits.iter().filter(|limit| limit.learned).collect();
    assert!(
        !learned.is_empty() && learned.iter().all(|limit| limit.max <= 600),
        "{learned:?}"
    );
}

/// The tokens of a rejected request are not among those that the server took.
#[tokio::test(start_paused = true)]
async fn what_a_rejected_request_would_have_cost_is_not_what_the_server_takes() {
    let mut limits = Vec::new();
    for large in [1, 6_000] {
        let limiter = Limiter::new(Limits::none());
        let mut first = limiter
            .acquire(Call::new(CHAT).with_tokens(1))
            .await
            .unwrap();
        name_tokens(&mut first, 1_000.0);
        for _ in 0..30 {
            drop(
                limiter
                    .acquire(Call::new(CHAT).with_tokens(900))
                    .await
                    .unwrap(),
            );
            sleep(Duration::from_secs(1)).await;
        }
        let mut rejected = limiter
            .acquire(Call::new(CHAT).with_tokens(large))
            .await
            .unwrap();
        rejected.report(&Report::throttled(None, Unit::Tokens));
        let lane = limiter.snapshot().lanes.remove(0);
        limits.push(lane.limits[0].max);
    }
    assert!(limits[1] <= limits[0], "{limits:?}");
}

/// Regression: tokens of requests that waited when the server first named a token limit were not counted.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_uncounted_is_counted_before_it_departs() {
    let limiter = Limiter::new(Limits::none());
    let call = Call::new(CHAT);
    let mut permit = limiter.acquire(call.clone()).await.unwrap();
    permit.overloaded(Duration::from_secs(1));
    let mut cx = Context::from_waker(Waker::noop());
    let mut turn = limiter.turn();
    let mut inner = Nothing;
    assert!(turn.arrive(&call, &mut inner, &mut cx).is_pending());
    assert!(!turn.is_uncounted(CHAT));
    name_tokens(&mut permit, 10.0);
    assert!(turn.is_uncounted(CHAT));
    turn.set_charge(Charge::Given(50));
    assert!(!turn.is_uncounted(CHAT));
    sleep(Duration::from_secs(2)).await;
    let polled = turn.wait(&mut inner, &mut cx);
    assert!(matches!(polled, Poll::Ready(Ok(_))));
    assert_eq!(
        limiter
            .shared
            .with(|state, _| state.registry.get(KeyIndex::MIN).unwrap().lanes[0].charged),
        50
    );
}

/// Demand that stays below the pace of a lane tells nothing about the limit.
#[tokio::test(start_paused = true)]
async fn the_learned_pace_rises_only_where_it_delays_requests() {
    let mut learned = Vec::new();
    for every in [0, 2_000] {
        let limiter = Limiter::new(Limits::none());
        limiter.acquire(Call::new(CHAT)).await.unwrap().told(2.0);
        // A limit that the server named is believed for a minute.
        sleep(Duration::from_secs(70)).await;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            drop(limiter.acquire(Call::new(CHAT)).await.unwrap());
            sleep(Duration::from_millis(every)).await;
        }
        learned.push(limiter.snapshot().lanes[0].limits[0].max);
    }
    assert!(learned[0] > 130, "{learned:?}");
    assert!((115..=125).contains(&learned[1]), "{learned:?}");
}
