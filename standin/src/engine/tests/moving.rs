//! Limits that move, in virtual time.

use std::time::Duration;

use crate::engine::{
    Charge,
    Decision::{self, Accept, Reject},
    Engine,
};
use crate::{Limit, Route, Rules};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const PER: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn chat(limit: Limit) -> Engine {
    Engine::new(Rules::none().limit(Route::Chat, limit))
}

fn charge(engine: &Engine, now: u64) -> Charge {
    engine.charge("key", "model", Route::Chat, 1, now)
}

fn ask(engine: &mut Engine, now: u64) -> Decision {
    engine.decide("key", "model", Route::Chat, now)
}

/// How many pass from one time to another if somebody asks each 10 ms.
fn flood(engine: &mut Engine, from: u64, until: u64) -> u64 {
    let times = (from..until).step_by(10_000);
    times.filter(|now| ask(engine, *now) == Accept).count() as u64
}

fn every_rule() -> [(&'static str, Limit); 5] {
    [
        ("fixed", Limit::fixed(300, PER).phase(seconds(7))),
        ("per second", Limit::per_second(300)),
        ("sliding", Limit::sliding(300, PER)),
        ("gcra", Limit::gcra(300, PER, 5)),
        ("gcra with a large burst", Limit::gcra(300, PER, 100)),
    ]
}

#[test]
fn each_step_lets_through_what_it_says_and_the_last_one_holds() {
    let limit = Limit::gcra(300, PER, 5)
        .then(seconds(60), 150)
        .then(seconds(120), 600);
    let mut engine = chat(limit);
    for (minute, rate) in [300, 150, 600, 600, 600].into_iter().enumerate() {
        let from = minute as u64 * MINUTE;
        let passed = flood(&mut engine, from, from + MINUTE);
        // The bucket is full at first.
        let full = if minute == 0 { 5 } else { 0 };
        assert!(passed.abs_diff(rate + full) <= 1, "{minute}: {passed}");
        let gauges = engine.gauges(&charge(&engine, 0), from + MINUTE - 1);
        let gauge = gauges.requests.unwrap();
        assert_eq!(gauge.per_second, rate as f64 / 60.0);
    }
}

#[test]
fn windows_have_the_number_of_the_moment() {
    for limit in [Limit::fixed(100, PER), Limit::sliding(100, PER)] {
        let mut engine = chat(limit.then(seconds(30), 40).then(seconds(45), 70));
        assert_eq!(flood(&mut engine, 0, 10 * SECOND), 100);
        assert_eq!(flood(&mut engine, 30 * SECOND, MINUTE), 0);
        let next = MINUTE + 10 * SECOND;
        assert_eq!(flood(&mut engine, next, next + 10 * SECOND), 70);
    }
}

#[test]
fn a_burst_moves_with_the_rate_and_what_is_left_stays() {
    let mut engine = chat(Limit::gcra(600, PER, 10).then(seconds(60), 150));
    let at_once = |engine: &mut Engine, now| (0..99).filter(|_| ask(engine, now) == Accept).count();
    assert_eq!(at_once(&mut engine, MINUTE - 1), 10);
    // 2 of a burst of 2.5, rounded down, are what it holds after a while.
    assert_eq!(at_once(&mut engine, MINUTE + SECOND), 2);
    let mut full = chat(Limit::gcra(600, PER, 10).then(seconds(60), 150));
    assert_eq!(at_once(&mut full, MINUTE), 2);
    let mut rises = chat(Limit::gcra(60, PER, 1).then(seconds(60), 600));
    assert_eq!(at_once(&mut rises, MINUTE - SECOND), 1);
    // One has come back at the old rate, and the new one fills the rest.
    assert_eq!(at_once(&mut rises, MINUTE), 1);
    assert_eq!(at_once(&mut rises, MINUTE + SECOND), 10);
}

#[test]
fn a_plan_repeats_if_it_is_told_to() {
    let limit = Limit::gcra(600, PER, 1)
        .then(seconds(60), 60)
        .repeating(seconds(120));
    let mut engine = chat(limit);
    for minute in 0..8 {
        let from = minute * MINUTE;
        let passed = flood(&mut engine, from, from + MINUTE);
        let rate = [600, 60][minute as usize % 2];
        assert!(passed.abs_diff(rate) <= 1, "{minute}: {passed}");
    }
}

#[test]
fn all_callers_see_the_same_number_and_have_their_own_requests() {
    let mut engine = chat(Limit::gcra(60, PER, 1).then(seconds(60), 600));
    for (key, model) in [("a", "m"), ("b", "m"), ("a", "n")] {
        let pass = |engine: &mut Engine, now| {
            let tries = 0..99;
            let asked = tries.map(|_| engine.decide(key, model, Route::Chat, now));
            asked.filter(|decision| *decision == Accept).count()
        };
        assert_eq!(pass(&mut engine.clone(), 59 * SECOND), 1);
        assert_eq!(pass(&mut engine, 70 * SECOND), 10);
    }
}

#[test]
fn a_rejection_says_to_the_microsecond_when_to_come_back_whatever_happens_till_then() {
    let mut limits: Vec<_> = every_rule()
        .into_iter()
        .map(|(name, limit)| {
            let limit = limit.then(seconds(2), 20).then(seconds(5), 700);
            (name, limit.repeating(seconds(8)))
        })
        .collect();
    limits.push(("dynamic", Limit::dynamic(6, 600)));
    for (name, limit) in &limits {
        for seed in 0..40 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut engine = chat(limit.clone()).count_refused(random.bool());
            let mut now = 0;
            for _ in 0..8 {
                let wait = loop {
                    now += random.u64(0..SECOND / 20);
                    if let Reject { retry_after, .. } = ask(&mut engine, now) {
                        break retry_after.as_micros() as u64;
                    }
                };
                let early = ask(&mut engine.clone(), now + wait - 1);
                assert_ne!(early, Accept, "{name}, seed {seed}, {now} µs + {wait}");
                now += wait;
                assert_eq!(ask(&mut engine, now), Accept, "{name}, seed {seed}");
            }
        }
    }
}

#[test]
fn a_wait_that_ends_where_the_limit_falls_goes_on() {
    let mut engine = chat(Limit::sliding(2, seconds(10)).then(seconds(10), 1));
    assert_eq!(ask(&mut engine, 0), Accept);
    assert_eq!(ask(&mut engine, SECOND), Accept);
    let Reject { retry_after, .. } = ask(&mut engine, 2 * SECOND) else {
        panic!("two are all")
    };
    // The first is forgotten after 8 s, and then one is enough.
    assert_eq!(retry_after, seconds(9));
}

#[test]
fn what_is_allowed_is_the_integral_of_the_lower_rate() {
    let rules = Rules::none()
        .limit(Route::Chat, Limit::gcra(300, PER, 5).then(seconds(60), 150))
        .shared(
            &[Route::Chat, Route::Images],
            Limit::sliding(240, PER).then(seconds(90), 60),
        )
        .limit(Route::Completions, Limit::dynamic(60, 600))
        .tokens(Route::Models, Limit::fixed(60, PER));
    let engine = Engine::new(rules);
    let allowed = |route, from, until| engine.allowed(route, seconds(from), seconds(until));
    assert_eq!(allowed(Route::Chat, 0, 60), Some(240.0));
    assert_eq!(allowed(Route::Chat, 30, 120), Some(120.0 + 75.0 + 30.0));
    assert_eq!(allowed(Route::Images, 60, 120), Some(120.0 + 30.0));
    assert_eq!(allowed(Route::Chat, 7, 7), Some(0.0));
    for free in [Route::Completions, Route::Models, Route::Embeddings] {
        assert_eq!(allowed(free, 0, 60), None, "{free:?}");
    }
}

#[test]
fn the_moving_table_is_what_its_name_is_known_for() {
    let engine = Engine::new(Rules::moving());
    let allowed = |route, minute| engine.allowed(route, minute * PER, (minute + 1) * PER);
    let minutes = [0, 1, 2, 3].map(|minute| allowed(Route::Embeddings, minute).unwrap());
    assert_eq!(minutes, [300.0, 150.0, 600.0, 600.0]);
    assert_eq!(allowed(Route::Chat, 0), Some(600.0));
    assert_eq!(allowed(Route::Images, 0), Some(60.0));

    // They share nothing.
    let mut engine = engine;
    let mut at_once = |route| {
        let tries = (0..99).map(|_| engine.decide("key", "model", route, 3 * MINUTE));
        tries.filter(|decision| *decision == Accept).count()
    };
    assert_eq!(at_once(Route::Embeddings), 10);
    assert_eq!(at_once(Route::Chat), 10);
    assert_eq!(at_once(Route::Completions), 10);
}

#[test]
fn steps_that_cannot_be_are_rejected() {
    let limit = || Limit::gcra(60, PER, 1).then(seconds(60), 90);
    let wrong: [fn(Limit) -> Limit; 5] = [
        |limit| limit.then(seconds(60), 100),
        |limit| limit.then(seconds(70), 0),
        |limit| limit.repeating(seconds(60)),
        |limit| limit.repeating(seconds(61)).then(seconds(70), 100),
        |_| Limit::dynamic(60, 600).then(seconds(60), 100),
    ];
    for (place, make) in wrong.into_iter().enumerate() {
        let made = std::panic::catch_unwind(|| make(limit()));
        assert!(made.is_err(), "{place}");
    }
}

#[test]
fn a_dynamic_limit_is_twice_the_success_of_the_past_hour() {
    let mut engine = chat(Limit::dynamic(60, 200));
    // An hour at the floor earns twice the floor, bit by bit; then comes the cap.
    let mut passed = Vec::new();
    for minute in 0..240 {
        let from = minute * MINUTE;
        passed.push(flood(&mut engine, from, from + MINUTE));
    }
    assert!(passed[..30].iter().all(|passed| passed.abs_diff(60) <= 1));
    assert!(passed[45] > 80 && passed[45] < 100, "{}", passed[45]);
    assert!(passed[180..].iter().all(|passed| passed.abs_diff(200) <= 1));
    let rate = |engine: &mut Engine, now| {
        let charge = charge(engine, now);
        engine.gauges(&charge, now).requests.unwrap().per_second * 60.0
    };
    assert_eq!(rate(&mut engine, 4 * HOUR), 200.0);
    // It is lost as slowly, and in an hour altogether.
    let half = rate(&mut engine, 4 * HOUR + 45 * MINUTE);
    assert!((half - 100.0).abs() < 2.0, "{half}");
    assert_eq!(rate(&mut engine, 5 * HOUR), 60.0);
    // Rejections do not raise it: one request in ten is accepted here.
    let mut engine = chat(Limit::dynamic(60, 1_200));
    assert_eq!(flood(&mut engine, 0, 20 * MINUTE), 1_200);
    assert_eq!(rate(&mut engine, 20 * MINUTE), 60.0);
}
