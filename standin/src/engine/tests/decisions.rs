//! The engine in virtual time: strict enough, not too strict, and the same as a reference.

use std::time::Duration;

use crate::engine::{
    Decision::{self, Accept, Reject},
    Engine,
};
use crate::{Limit, Route, Rules};

const SECOND: u64 = 1_000_000;
const MINUTE: Duration = Duration::from_secs(60);

fn every_rule(max: u32) -> [(&'static str, Limit); 5] {
    let phase = Duration::from_secs(17);
    [
        ("fixed", Limit::fixed(max, MINUTE)),
        ("fixed with a phase", Limit::fixed(max, MINUTE).phase(phase)),
        ("sliding", Limit::sliding(max, MINUTE)),
        ("gcra", Limit::gcra(max, MINUTE, max / 60)),
        ("per second", Limit::per_second(max)),
    ]
}

fn embeddings(limit: Limit) -> Engine {
    Engine::new(Rules::none().limit(Route::Embeddings, limit))
}

fn ask(engine: &mut Engine, now: u64) -> Decision {
    engine.decide("key", "model", Route::Embeddings, now)
}

/// The number of requests of an even pace that are rejected in three minutes.
fn rejected_at(engine: &mut Engine, per_minute: u64) -> usize {
    let requests = 0..3 * per_minute;
    requests
        .filter(|n| ask(engine, n * 60 * SECOND / per_minute) != Accept)
        .count()
}

#[test]
fn two_percent_too_fast_is_rejected_within_three_minutes() {
    for (name, limit) in every_rule(300) {
        assert!(rejected_at(&mut embeddings(limit), 306) > 0, "{name}");
    }
}

#[test]
fn two_percent_too_slow_is_never_rejected() {
    for (name, limit) in every_rule(300) {
        assert_eq!(rejected_at(&mut embeddings(limit), 294), 0, "{name}");
    }
}

#[test]
fn a_rejection_says_to_the_microsecond_when_to_come_back() {
    for seed in 0..20 {
        for count_refused in [false, true] {
            for (name, limit) in every_rule(130) {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut engine = embeddings(limit).count_refused(count_refused);
                let mut now = 0;
                let wait = loop {
                    now += random.u64(0..SECOND / 2);
                    if let Reject { retry_after, .. } = ask(&mut engine, now) {
                        break retry_after.as_micros() as u64;
                    }
                };
                let early = ask(&mut engine.clone(), now + wait - 1);
                assert_ne!(early, Accept, "{name}, seed {seed}");
                assert_eq!(ask(&mut engine, now + wait), Accept, "{name}, seed {seed}");
            }
        }
    }
}

#[test]
fn the_burst_of_the_default_table_is_one_second() {
    for (route, burst) in [
        (Route::Chat, 10),
        (Route::Completions, 10),
        (Route::Embeddings, 5),
        (Route::Images, 1),
    ] {
        let mut engine = Engine::new(Rules::default());
        let mut at = |now| engine.decide("key", "model", route, now) == Accept;
        assert_eq!((0..100).filter(|_| at(0)).count(), burst, "{route:?}");
        assert_eq!((0..100).filter(|_| at(SECOND)).count(), burst, "{route:?}");
    }
}

#[test]
fn chat_completions_and_embeddings_share_one_limit_per_key_and_model() {
    let mut engine = Engine::new(Rules::default());
    let mut spend = |key, model, route| {
        let tries = 0..100;
        tries
            .filter(|_| engine.decide(key, model, route, 0) == Accept)
            .count()
    };
    assert_eq!(spend("key", "model", Route::Embeddings), 5);
    assert_eq!(spend("key", "model", Route::Chat), 5);
    assert_eq!(spend("key", "model", Route::Completions), 0);
    assert_eq!(spend("key", "model", Route::Images), 1);
    assert_eq!(spend("key", "model", Route::Models), 100);
    assert_eq!(spend("another", "model", Route::Chat), 10);
    assert_eq!(spend("key", "another", Route::Chat), 10);
}

#[test]
fn who_is_rejected_by_one_limit_consumes_from_none() {
    let rules = Rules::none()
        .limit(Route::Images, Limit::fixed(1, MINUTE))
        .shared(&[Route::Images, Route::Chat], Limit::fixed(3, MINUTE));
    let spend = |engine: &mut Engine, route| {
        let tries = 0..9;
        tries
            .filter(|_| engine.decide("key", "model", route, 0) == Accept)
            .count()
    };
    let mut engine = Engine::new(rules.clone());
    assert_eq!(spend(&mut engine, Route::Images), 1);
    assert_eq!(spend(&mut engine, Route::Chat), 2);

    let mut engine = Engine::new(rules).count_refused(true);
    assert_eq!(spend(&mut engine, Route::Images), 1);
    assert_eq!(spend(&mut engine, Route::Chat), 0);
}

#[test]
fn a_limit_is_replaced_by_one_over_the_same_routes() {
    let rules = Rules::default()
        .limit(Route::Chat, Limit::fixed(30, MINUTE))
        .shared(
            &[Route::Embeddings, Route::Chat, Route::Completions],
            Limit::fixed(31, MINUTE),
        );
    let mut engine = Engine::new(rules);
    let mut spend = |route| {
        let tries = 0..100;
        tries
            .filter(|_| engine.decide("key", "model", route, 0) == Accept)
            .count()
    };
    assert_eq!(spend(Route::Chat), 30);
    assert_eq!(spend(Route::Embeddings), 1);
}

#[test]
fn a_rate_below_one_a_second_is_one_in_a_longer_window() {
    let mut engine = embeddings(Limit::per_second(30));
    let accepted = (0..60).filter(|n| ask(&mut engine, n * SECOND) == Accept);
    assert_eq!(accepted.count(), 30);
}
