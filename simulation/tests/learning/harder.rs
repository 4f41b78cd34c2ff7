//! Servers that are harder to follow, compared with the best law that was found in simulation.
//!
//! That law started at half of what the servers allow, and so does this. Its figures, for ten minutes, are the share
//! used, in percent, and the number of 429s. They are counted from the instant at which this first raises its rate,
//! because it trusts its table for a minute.

use simulation::{
    counter::Kind::{self, Bucket, FixedMinute, SlidingMinute},
    run::Client::{self, AtMost, DefaultFromHalf, Plain},
    server::{Says, Tenant},
    setting::{TWO_FIFTHS, steady},
};

use crate::{SEEDS, row::Row};

type Setting = simulation::setting::Setting<Client>;

#[test]
#[ignore = "long: ./check --all runs it"]
fn a_server_that_just_counts() {
    let just = |kind| steady(DefaultFromHalf, kind, Says::Wait);
    beside([
        ("", just(SlidingMinute), 96.6, 27.0),
        ("", just(FixedMinute), 100.0, 25.0),
        ("", just(Bucket), 94.7, 6.0),
    ]);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn a_server_that_counts_what_it_rejects() {
    let counts = |client| {
        let mut setting = steady(client, SlidingMinute, Says::Wait);
        setting.servers[0].counts_rejected = true;
        setting
    };
    Row::of("counts rejected, plain", &counts(Plain), SEEDS);
    beside([
        ("counts rejected", counts(DefaultFromHalf), 96.0, 34.0),
        ("counts rejected, known", counts(AtMost(600)), 100.0, 0.0),
    ]);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn a_server_that_does_not_say_for_how_long() {
    let silent = |kind| steady(DefaultFromHalf, kind, Says::Nothing);
    beside([
        ("", silent(SlidingMinute), 88.0, 56.0),
        ("", silent(FixedMinute), 101.0, 107.0),
        ("", silent(Bucket), 95.0, 6.0),
    ]);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn a_tenant_who_takes_two_fifths_for_a_while() {
    for kind in [SlidingMinute, Bucket] {
        // The server reports the limit of all clients together; the second setting is what most programs do.
        let told = with_tenant(
            DefaultFromHalf,
            kind,
            Tenant::Untold(TWO_FIFTHS),
            Says::Limits,
        );
        Row::of(&format!("tenant, {kind:?}, untold"), &told, SEEDS);
        let plain = with_tenant(Plain, kind, Tenant::Untold(TWO_FIFTHS), Says::Wait);
        Row::of(&format!("tenant, {kind:?}, plain"), &plain, SEEDS);
    }
    let known = |kind| with_tenant(AtMost(600), kind, Tenant::Untold(TWO_FIFTHS), Says::Wait);
    let blind = |kind| {
        with_tenant(
            DefaultFromHalf,
            kind,
            Tenant::Untold(TWO_FIFTHS),
            Says::Wait,
        )
    };
    let told = |kind| {
        with_tenant(
            DefaultFromHalf,
            kind,
            Tenant::Told(TWO_FIFTHS),
            Says::Limits,
        )
    };
    beside([
        ("tenant, known", known(SlidingMinute), 95.0, 9.0),
        ("tenant", blind(SlidingMinute), 91.0, 30.0),
        ("tenant, told", told(SlidingMinute), 96.0, 5.0),
        ("tenant, known", known(Bucket), 98.0, 8.0),
        ("tenant", blind(Bucket), 90.0, 15.0),
        ("tenant, told", told(Bucket), 92.0, 0.0),
    ]);
}

fn with_tenant(client: Client, kind: Kind, tenant: Tenant, says: Says) -> Setting {
    let mut setting = steady(client, kind, says);
    setting.servers[0].tenant = tenant;
    setting
}

/// Runs all settings before it checks one.
fn beside<const N: usize>(settings: [(&str, Setting, f64, f64); N]) {
    let rows = settings.map(|(name, setting, used, rejected)| {
        (row(name, setting, used, rejected), used, rejected)
    });
    for (row, used, rejected) in rows {
        row.assert_beside(used, rejected);
    }
}

fn row(name: &str, setting: Setting, used: f64, rejected: f64) -> Row {
    let kind = setting.servers[0].kind;
    let setting = Setting {
        seconds: 660,
        counted_from: 60,
        ..setting
    };
    Row::of(
        &format!("{name} {kind:?} [{used} % {rejected}]"),
        &setting,
        SEEDS,
    )
}
