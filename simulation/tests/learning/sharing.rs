//! One key in several processes, and several models with one key.

use std::ops::Range;

use simulation::{
    counter::Kind::{Bucket, FixedMinute, SlidingMinute},
    run::Client,
    say,
    server::Says,
    setting::{COLLAPSING, Setting, TOLD, rules, steady},
    tally::{Tally, total},
};

use crate::{SEEDS, row::Row};

#[test]
fn a_model_that_collapses_costs_another_nothing() {
    two_lanes(0..1);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn four_processes_that_know_nothing_of_each_other() {
    let kinds = [Bucket, SlidingMinute, FixedMinute];
    let rows = kinds.map(|kind| {
        TOLD.map(|says| {
            let setting = Setting {
                clients: vec![Client::AtMost(600); 4],
                ..steady(Client::Default, kind, says)
            };
            let row = Row::of(&format!("four, {kind:?}"), &setting, SEEDS);
            let fairness = row.spread(Tally::fairness);
            say(format_args!("  fairness {fairness}"));
            (row, fairness)
        })
    });
    for (row, fairness) in rows.as_flattened() {
        row.assert(97.0, 2.0);
        assert!(
            fairness.mean >= 0.97 && fairness.least >= 0.9,
            "{row} {fairness}"
        );
    }
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn a_model_that_collapses_costs_another_nothing_whatever_the_seed() {
    two_lanes(SEEDS);
}

/// One model's server falls to a twentieth; the other's sends as much as it does alone.
fn two_lanes(seeds: Range<u64>) {
    for (client, says) in [
        (Client::AtMost(600), Says::Wait),
        (Client::AtMost(600), Says::Limits),
        (Client::Default, Says::Limits),
    ] {
        let without = steady(client, Bucket, says);
        let mut beside = without.clone();
        beside.servers.push(rules(Bucket, COLLAPSING));
        let sent = |tally: &Tally| f64::from(total(&tally.sent));
        let without = Row::of("one model", &without, seeds.clone()).spread(sent);
        let beside = Row::of("beside one that collapses", &beside, seeds.clone()).spread(sent);
        let share = beside.mean / without.mean;
        say(format_args!(
            "  sends {:.1} % of what it sends alone",
            100.0 * share
        ));
        assert!(share >= 0.99, "{client:?} {says:?}: {share}");
    }
}
