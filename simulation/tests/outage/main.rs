//! An outage of a minute, while texts to be embedded keep arriving, in virtual time.
//!
//! The texts arrive at random instants, 300 a minute on average, for five minutes, and do not wait for each other. The
//! limits allow 3,000 a minute, so only the retry layer decides about retries. In the third minute the server fails all
//! requests that reach it. The job submits a text again a minute after it failed. Ten seeds:
//!
//! | the server | attempts per 100 texts that arrive | submitted again | longest call |
//! |---|---|---|---|
//! | 503, 500, or refused connections | 124 to 126 | all, with few exceptions | 8 to 11 s |
//! | the same, `Retries::unlimited()` within 5 minutes and no budget | 632 to 645 | none | 76 to 88 s |
//! | 503 and `retry-after: 60` | 0.3 to 0.9 | none | 60 s |
//! | 503 and `retry-after: 10` | 5 to 6 | 1 | 61 s |
//! | 503 and `retry-after: 1` | 48 to 53 | 9 to 10 | 53 to 56 s |
//!
//! The budget is one retry in five, and ten a minute: of 300, 70. A server that states a wait needs no budget, because
//! its lane is paused.

mod job;
mod server;

use std::{ops::Range, time::Duration};

use job::{Asks, Outcome, embed};
use server::{OUTAGE, Outage};
use simulation::say;

#[test]
fn attempts_in_an_outage_stay_under_1_3_of_what_comes_and_every_text_succeeds_once() {
    few_attempts(0..2);
}

#[test]
fn with_unlimited_retries_and_no_budget_every_call_of_five_minutes_succeeds_by_itself() {
    patience(0..1);
}

#[test]
fn an_outage_that_says_how_long_it_lasts_is_sat_out_in_the_lane() {
    sat_out(0..2);
}

#[test]
fn one_that_says_so_again_and_again_is_asked_by_three_at_a_time() {
    three_at_a_time(0..2);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn every_promise_is_kept_for_ten_seeds() {
    few_attempts(0..10);
    patience(0..10);
    sat_out(0..10);
    three_at_a_time(0..10);
}

fn few_attempts(seeds: Range<u64>) {
    for outage in SILENT {
        for run in runs(Asks::Defaults, outage, seeds.clone()) {
            let share = run.attempts() as f64 / run.came as f64;
            assert!(share < 1.3, "{share}");
            // Otherwise there was no outage.
            assert!(run.attempts() > run.came && run.resubmitted > 0);
        }
    }
}

fn patience(seeds: Range<u64>) {
    for outage in SILENT {
        for run in runs(Asks::Patience, outage, seeds.clone()) {
            assert_eq!(run.resubmitted, 0);
            // The outage, and the longest wait that can begin in it.
            let longest = OUTAGE.end - OUTAGE.start + Duration::from_secs(30 + 1);
            assert!(run.longest < longest, "{:?}", run.longest);
        }
    }
}

fn sat_out(seeds: Range<u64>) {
    for run in runs(Asks::Defaults, Outage::Says(60), seeds) {
        // The first attempt, and those that left before its response arrived.
        assert!(run.attempts() <= 3, "{}", run.attempts());
        assert_eq!(run.resubmitted, 0);
        assert!(run.longest < Duration::from_secs(61));
    }
}

fn three_at_a_time(seeds: Range<u64>) {
    for seconds in [10, 1] {
        for run in runs(Asks::Defaults, Outage::Says(seconds), seeds.clone()) {
            let times = (OUTAGE.end - OUTAGE.start).as_secs() / seconds;
            assert!(run.attempts() as u64 <= 3 * times, "{}", run.attempts());
            // The texts that failed had five attempts each, because the budget denied none.
            assert!(5 * run.resubmitted <= run.attempts(), "{}", run.resubmitted);
        }
    }
}

/// The runs of several seeds. In each, every text had one success, and its response was received.
fn runs(asks: Asks, outage: Outage, seeds: Range<u64>) -> Vec<Outcome> {
    let run = |seed| {
        let run = embed(asks, outage, seed);
        let texts: Vec<_> = (0..run.texts).collect();
        assert_eq!(run.ledger.succeeded(), texts);
        assert_eq!(run.received, texts);
        run
    };
    let runs: Vec<_> = seeds.map(run).collect();
    let least = |figure: fn(&Outcome) -> f64| runs.iter().map(figure).fold(f64::INFINITY, f64::min);
    let most = |figure: fn(&Outcome) -> f64| runs.iter().map(figure).fold(0.0, f64::max);
    let range = |figure| format!("{:.1}..{:.1}", least(figure), most(figure));
    say(format_args!(
        "{asks:?} {outage:?}: of 100 that came {} attempts, {} submitted again, {} s at most",
        range(|run| 100.0 * run.attempts() as f64 / run.came as f64),
        range(|run| 100.0 * run.resubmitted as f64 / run.came as f64),
        range(|run| run.longest.as_secs_f64()),
    ));
    runs
}

impl Outcome {
    fn attempts(&self) -> usize {
        self.ledger.attempts(&OUTAGE)
    }
}

/// The outages without a stated wait.
const SILENT: [Outage; 3] = [
    Outage::Status(503),
    Outage::Status(500),
    Outage::Unconnected,
];
