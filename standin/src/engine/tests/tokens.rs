//! Limits on tokens, in virtual time.

use std::time::Duration;

use crate::engine::{
    Decision::{Accept, Reject},
    Engine, Unit,
};
use crate::{Limit, Route, Rules};

const SECOND: u64 = 1_000_000;
const MINUTE: Duration = Duration::from_secs(60);

fn chat(limit: Limit) -> Engine {
    Engine::new(Rules::none().tokens(Route::Chat, limit))
}

/// Whether a request of so many tokens passes, or what has it wait for how many microseconds.
fn ask(engine: &mut Engine, tokens: u64, now: u64) -> Result<(), (u64, Unit)> {
    let charge = engine.charge("key", "model", Route::Chat, tokens, now);
    match engine.decide_on(&charge) {
        Accept => Ok(()),
        Reject { retry_after, over } => Err((retry_after.as_micros() as u64, over)),
    }
}

fn remaining(engine: &mut Engine, now: u64) -> u64 {
    let charge = engine.charge("key", "model", Route::Chat, 1, now);
    engine.gauges(&charge, now).tokens.unwrap().remaining
}

/// 6,000 tokens a minute, so 100 a second, and 1,000 at once where there is a bucket.
fn every_rule() -> [(&'static str, Limit); 3] {
    [
        ("fixed", Limit::fixed(1_000, Duration::from_secs(10))),
        ("sliding", Limit::sliding(1_000, Duration::from_secs(10))),
        ("gcra", Limit::gcra(6_000, MINUTE, 1_000)),
    ]
}

#[test]
fn a_request_costs_its_tokens_and_one_that_does_not_fit_costs_nothing() {
    for (name, limit) in every_rule() {
        let mut engine = chat(limit);
        assert_eq!(ask(&mut engine, 700, 0), Ok(()), "{name}");
        let (wait, over) = ask(&mut engine, 400, 0).unwrap_err();
        assert_eq!(over, Unit::Tokens);
        let expected = if name == "gcra" { 1 } else { 10 };
        assert_eq!(wait, expected * SECOND, "{name}");
        assert_eq!(remaining(&mut engine, 0), 300, "{name}");
        assert_eq!(ask(&mut engine, 300, 0), Ok(()), "{name}");
        assert_eq!(remaining(&mut engine, 0), 0, "{name}");
    }
}

#[test]
fn what_was_charged_is_settled_to_what_was_used() {
    for (name, limit) in every_rule() {
        for (used, left) in [(100, 900), (700, 300), (1_000, 0)] {
            let mut engine = chat(limit.clone());
            let charge = engine.charge("key", "model", Route::Chat, 700, 0);
            assert_eq!(engine.decide_on(&charge), Accept);
            engine.settle(&charge, used, 0);
            assert_eq!(remaining(&mut engine, 0), left, "{name}, {used}");
        }
    }
}

#[test]
fn more_than_was_charged_is_owed() {
    for (name, limit) in every_rule() {
        let mut engine = chat(limit);
        let charge = engine.charge("key", "model", Route::Chat, 100, 0);
        assert_eq!(engine.decide_on(&charge), Accept);
        engine.settle(&charge, 1_500, 0);
        // 500 and one are owed to the bucket; a window ends with what is in it.
        let wait = if name == "gcra" {
            5_010_000
        } else {
            10 * SECOND
        };
        assert_eq!(ask(&mut engine, 1, 0), Err((wait, Unit::Tokens)), "{name}");
        assert_eq!(ask(&mut engine, 1, wait), Ok(()), "{name}");
    }
}

#[test]
fn what_is_given_back_late_does_not_exceed_a_full_limit() {
    for (name, limit) in every_rule() {
        let mut engine = chat(limit);
        let charge = engine.charge("key", "model", Route::Chat, 900, 0);
        assert_eq!(engine.decide_on(&charge), Accept);
        let late = 60 * SECOND;
        assert_eq!(ask(&mut engine, 10, late), Ok(()), "{name}");
        engine.settle(&charge, 1, late);
        // A charge to a window that is over is not given back to the next.
        let left = if name == "gcra" { 1_000 } else { 990 };
        assert_eq!(remaining(&mut engine, late), left, "{name}");
    }
}

#[test]
fn what_never_fits_passes_alone_and_is_made_up_for() {
    for (name, limit) in every_rule() {
        let mut engine = chat(limit);
        assert_eq!(ask(&mut engine, 1, 0), Ok(()), "{name}");
        let (wait, _) = ask(&mut engine, 5_000, 0).unwrap_err();
        assert_eq!(ask(&mut engine, 5_000, wait), Ok(()), "{name}");
        let (rest, _) = ask(&mut engine, 1_000, wait).unwrap_err();
        let expected = if name == "gcra" { 50 } else { 10 };
        assert_eq!(rest, expected * SECOND, "{name}");
    }
}

#[test]
fn requests_and_tokens_are_limited_apart_and_what_takes_longer_is_named() {
    let rules = Rules::none()
        .limit(Route::Chat, Limit::sliding(2, MINUTE))
        .tokens(Route::Chat, Limit::gcra(6_000, MINUTE, 1_000));
    let mut engine = Engine::new(rules.clone());
    assert_eq!(ask(&mut engine, 900, 0), Ok(()));
    assert_eq!(ask(&mut engine, 900, 0), Err((8 * SECOND, Unit::Tokens)));
    assert_eq!(ask(&mut engine, 100, 0), Ok(()));
    assert_eq!(ask(&mut engine, 1, 0), Err((60 * SECOND, Unit::Requests)));
    assert_eq!(ask(&mut engine, 900, 0), Err((60 * SECOND, Unit::Requests)));
    // A rejection consumes neither; where rejections count, both.
    let mut engine = Engine::new(rules).count_refused(true);
    assert_eq!(ask(&mut engine, 900, 0), Ok(()));
    assert!(ask(&mut engine, 200, 0).is_err());
    assert_eq!(ask(&mut engine, 1, 0), Err((60 * SECOND, Unit::Requests)));
    assert_eq!(remaining(&mut engine, 0), 0);
}

#[test]
fn if_both_take_as_long_it_is_requests_that_are_too_many() {
    let rules = Rules::none()
        .tokens(Route::Chat, Limit::sliding(100, MINUTE))
        .limit(Route::Chat, Limit::sliding(1, MINUTE));
    for rules in [
        rules.clone(),
        rules.tokens(Route::Chat, Limit::sliding(100, MINUTE)),
    ] {
        let mut engine = Engine::new(rules);
        assert_eq!(ask(&mut engine, 100, 0), Ok(()));
        assert_eq!(ask(&mut engine, 100, 0), Err((60 * SECOND, Unit::Requests)));
    }
}

#[test]
fn two_of_one_moment_are_settled_one_by_one() {
    for (name, limit) in every_rule() {
        let mut engine = chat(limit);
        let charges = [100, 700].map(|tokens| {
            let charge = engine.charge("key", "model", Route::Chat, tokens, 0);
            assert_eq!(engine.decide_on(&charge), Accept);
            charge
        });
        engine.settle(&charges[1], 50, SECOND / 100);
        engine.settle(&charges[0], 150, SECOND / 100);
        let left = remaining(&mut engine, SECOND / 100);
        let trickled = if name == "gcra" { 1 } else { 0 };
        assert_eq!(left, 800 + trickled, "{name}");
    }
}

#[test]
fn a_rejection_that_counts_forgives_no_debt() {
    let mut engine = chat(Limit::gcra(6_000, MINUTE, 100)).count_refused(true);
    assert_eq!(ask(&mut engine, 1_100, 0), Ok(()));
    assert_eq!(ask(&mut engine, 100, 0), Err((11 * SECOND, Unit::Tokens)));
    assert_eq!(ask(&mut engine, 100, 0), Err((11 * SECOND, Unit::Tokens)));
}

#[test]
fn a_token_limit_moves_too_and_each_caller_has_its_own() {
    let limit = Limit::gcra(6_000, MINUTE, 100).then(MINUTE, 600);
    let mut engine = chat(limit);
    let late = 120 * SECOND;
    assert_eq!(remaining(&mut engine, 0), 100);
    assert_eq!(remaining(&mut engine, late), 10);
    for (key, model) in [("a", "m"), ("b", "m"), ("a", "n")] {
        let charge = engine.charge(key, model, Route::Chat, 10, late);
        assert_eq!(engine.decide_on(&charge), Accept);
        assert_ne!(engine.decide_on(&charge), Accept);
    }
}

#[test]
#[should_panic = "a dynamic limit counts requests"]
fn tokens_have_no_dynamic_limit() {
    let _ = Rules::none().tokens(Route::Chat, Limit::dynamic(60, 600));
}
