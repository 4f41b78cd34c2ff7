//! A server whose limit has to be earned.

use simulation::{
    counter::Kind::Bucket,
    limit::CAP,
    run::Client,
    say,
    server::oracle,
    setting::{EARNED, Setting, TOLD, alone},
    tally::Tally,
};

use crate::row::Row;

/// The rate has to be earned for four hours.
#[test]
#[ignore = "long: ./check --all runs it"]
fn a_rate_that_is_earned() {
    let oracle = oracle(EARNED, CAP / 60.0).as_secs_f64();
    say(format_args!("an oracle is at the cap after {oracle:.0} s"));
    let rows = TOLD.map(|says| {
        let setting = Setting {
            seconds: 4 * 3_600,
            ..alone(Client::Default, Bucket, EARNED, says)
        };
        let row = Row::of("earned", &setting, 0..3);
        let reached = |tally: &Tally| tally.reached(CAP / 60.0);
        let time =
            row.spread(|tally| reached(tally).map_or(f64::INFINITY, |at| at as f64 / oracle));
        let then = row.spread(|tally| reached(tally).map_or(0.0, |at| tally.used_from(at)));
        say(format_args!(
            "  at the cap in {time} of the oracle's time; then used {then} %"
        ));
        (time, then)
    });
    let [(time, then), _blind] = rows;
    assert!(time.most <= 1.25 && then.least >= 95.0, "{time}, {then}");
}
