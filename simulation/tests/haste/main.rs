//! Callers with a limit above their server's, which never learn it, in virtual time.
//!
//! Each run has more work than there is room for, ten minutes, one-way delays of 10 to 90 ms, responses after 0.5 to
//! 3.5 s and rejections after 5 ms. The limiter has 750 a minute. The server allows 600, counted in one of four ways,
//! and either says in `retry-after` in how many seconds it has room again, or sends no wait. 429s in ten minutes, the
//! fewest and the most of ten seeds:
//!
//! | server | both layers | of the quota, they use | 64 callers, each for itself | 256 callers |
//! |---|---|---|---|---|
//! | 600 in any 60 s | 15 to 19 | 100 % | 640 to 651 | 1,475 |
//! | the same, and does not say | 43 to 48 | 91 % | | |
//! | 600 in each minute of its clock | 14 to 19 | 101 % | 576 to 631 | 1,327 to 1,383 |
//! | the same, and does not say | 37 to 41 | 100 % | | |
//! | bucket of 10, ten a second | 51 | 87 % | 1,466 to 1,467 | 1,466 to 1,467 |
//! | 10 in each second of its clock | 89 to 100 | 73 % | 1,472 to 1,473 | 1,472 to 1,473 |
//!
//! With both layers, the first 429 pauses all callers until the instant it named, and the number of callers makes no
//! difference. A caller that sleeps for itself pauses no other caller. Sleeping callers send nothing, but if there are
//! more callers than sleep at a time, each request beyond the limit gets its own 429.

mod callers;

use std::ops::{Range, RangeInclusive};

use callers::{Callers, send};
use simulation::{
    counter::Kind,
    say,
    tally::{Tally, total},
};

/// The promise of both layers with one server.
struct Promise {
    server: Kind,
    /// Whether the server says how long to wait.
    says: bool,
    /// The number of 429s is below this.
    rejected: u32,
    /// The share used at least, in percent.
    used: f64,
}

#[test]
fn both_layers_have_under_30_429s_where_callers_who_each_sleep_for_themselves_have_1_500() {
    BY_ANY_MINUTE.check(0..2);
    compare(0..1);
}

#[test]
fn a_server_that_counts_by_its_own_minute_rejects_under_30() {
    BY_THE_MINUTE.check(0..1);
}

#[test]
fn a_server_that_does_not_say_for_how_long_rejects_under_60() {
    SILENT.check(0..1);
}

/// Without the slow restart the server rejects 135.
#[test]
fn a_server_with_a_bucket_of_ten_rejects_under_60_for_a_restart_is_slow() {
    BY_A_BUCKET.check(0..1);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn every_server_keeps_its_promise_for_ten_seeds() {
    for promise in [
        BY_ANY_MINUTE,
        SILENT,
        BY_THE_MINUTE,
        BY_A_BUCKET,
        BY_THE_SECOND,
        Promise {
            says: false,
            rejected: 60,
            ..BY_THE_MINUTE
        },
    ] {
        promise.check(0..10);
    }
    compare(0..10);
    // For the table above; nothing is promised of callers without the layers.
    for server in [Kind::FixedMinute, Kind::Bucket, Kind::FixedSecond] {
        for callers in [64, 256] {
            run(Callers::Themselves(callers), server, true, 0..10);
        }
    }
}

impl Promise {
    fn check(&self, seeds: Range<u64>) {
        let ran = run(Callers::Layers(64), self.server, self.says, seeds);
        let most = *ran.rejected.end();
        assert!(most < self.rejected, "{most} got a 429");
        assert!(ran.used >= self.used, "{} % used", ran.used);
    }
}

/// Compares both layers with callers that sleep for themselves, with the server that counts any minute.
fn compare(seeds: Range<u64>) {
    let [layers, few, many] = [
        Callers::Layers(256),
        Callers::Themselves(64),
        Callers::Themselves(256),
    ]
    .map(|callers| run(callers, Kind::SlidingMinute, true, seeds.clone()).rejected);
    assert!(*layers.end() < 30, "{layers:?}");
    assert!(*few.start() >= 10 * layers.end(), "{layers:?} and {few:?}");
    assert!(*many.start() >= 1_400, "{many:?}");
}

/// The runs of several seeds.
struct Ran {
    /// The number of 429s, the fewest and the most.
    rejected: RangeInclusive<u32>,
    /// The smallest share of the quota used, in percent.
    used: f64,
}

fn run(callers: Callers, server: Kind, says: bool, seeds: Range<u64>) -> Ran {
    let tallies: Vec<_> = seeds
        .map(|seed| send(callers, server, says, seed))
        .collect();
    let rejected = || tallies.iter().map(|tally| total(&tally.rejected));
    let used = tallies.iter().map(Tally::used);
    let ran = Ran {
        rejected: rejected().min().unwrap()..=rejected().max().unwrap(),
        used: used.fold(f64::INFINITY, f64::min),
    };
    let (server, callers) = (format!("{server:?}"), format!("{callers:?}"));
    let says = if says { "" } else { "silent" };
    say(format_args!(
        "{server:<13} {says:<7} {callers:<16} {:>6.1}% {:?}",
        ran.used, ran.rejected
    ));
    ran
}

const BY_ANY_MINUTE: Promise = Promise {
    server: Kind::SlidingMinute,
    says: true,
    rejected: 30,
    used: 99.0,
};
const SILENT: Promise = Promise {
    says: false,
    rejected: 60,
    used: 90.0,
    ..BY_ANY_MINUTE
};
const BY_THE_MINUTE: Promise = Promise {
    server: Kind::FixedMinute,
    ..BY_ANY_MINUTE
};
const BY_A_BUCKET: Promise = Promise {
    server: Kind::Bucket,
    rejected: 60,
    used: 86.0,
    ..BY_ANY_MINUTE
};
const BY_THE_SECOND: Promise = Promise {
    server: Kind::FixedSecond,
    rejected: 110,
    used: 72.0,
    ..BY_ANY_MINUTE
};
