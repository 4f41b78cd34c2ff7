//! Unknown, moving limits: the layers find and follow them, in virtual time.
//!
//! Each run has more work than there is room for, one-way delays of 10 to 90 ms, responses after 0.5 to 3.5 s and
//! rejections after 5 ms. The share used is the number accepted, of what the server would have allowed.
//!
//! A table of figures: `cargo test --release -p tower-together-simulation --test learning -- --ignored --nocapture
//! --test-threads 1`. After each line's name it shows the headers that the server sends. For each step of the server's
//! limit it shows the pace of the ten seconds before the 20th second after it (without headers, the 60th), as a share
//! of the limit, and the number of seconds until the pace is within a tenth of the limit.

mod earned;
mod harder;
mod row;
mod sharing;

use std::ops::Range;

use row::Row;
use simulation::{
    counter::Kind::{Bucket, FixedMinute, FixedSecond, SlidingMinute},
    run::Client,
    server::Says,
    setting::{MOVING, Setting, TOLD, alone, steady},
};

#[test]
fn a_bucket_that_moves_is_followed_by_its_headers() {
    followed(0..1);
}

#[test]
fn a_bucket_that_moves_is_followed_by_its_429s_alone() {
    found(0..1);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn moving_with_headers() {
    followed(SEEDS);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn moving_without_headers() {
    found(SEEDS);
}

#[test]
#[ignore = "long: ./check --all runs it"]
fn moving_windows_and_a_plain_bucket_for_comparison() {
    for (name, kind) in [
        ("moving, fixed minute", FixedMinute),
        ("moving, sliding minute", SlidingMinute),
        ("moving, fixed second", FixedSecond),
    ] {
        for says in TOLD {
            Row::of(name, &alone(Client::Default, kind, MOVING, says), SEEDS);
        }
    }
    for kind in [Bucket, FixedMinute, SlidingMinute, FixedSecond] {
        let name = format!("moving, {kind:?}, plain");
        Row::of(
            &name,
            &alone(Client::Plain, kind, MOVING, Says::Wait),
            SEEDS,
        );
    }
}

/// A header that means a minute, in seconds, is believed until the server rejects requests within it.
#[test]
#[ignore = "long: ./check --all runs it"]
fn a_limit_in_another_unit_is_not_trusted() {
    let rows = [Bucket, SlidingMinute].map(|kind| {
        let setting = Setting {
            seconds: 720,
            ..steady(Client::Default, kind, Says::PerMinute)
        };
        Row::of(&format!("600 named for 10, {kind:?}"), &setting, FIVE)
    });
    for row in rows {
        row.assert(95.0, 1.0);
    }
}

/// Jitter brings eleven requests to a second of the server now and then, at any pace near the limit. The best that a pace
/// known beforehand reaches is 95 % with 1 % 429s, if each of these delays only its own request.
#[test]
#[ignore = "long: ./check --all runs it"]
fn windows_of_a_second_with_150_ms_of_jitter() {
    let rows = [Says::Exact, Says::Limits, Says::Wait].map(|says| {
        let far = |setting| Setting {
            delay: FAR,
            ..setting
        };
        let moving = far(alone(Client::Default, FixedSecond, MOVING, says));
        Row::of("moving, fixed second, 150 ms", &moving, SEEDS);
        let still = far(steady(Client::Default, FixedSecond, says));
        Row::of("10 in each second, 150 ms", &still, SEEDS)
    });
    let [exact, whole_seconds, blind] = rows;
    exact.assert(93.0, 1.0);
    whole_seconds.assert(93.0, 1.0);
    blind.assert(86.0, 1.0);
}

fn followed(seeds: Range<u64>) {
    let setting = alone(Client::Default, Bucket, MOVING, Says::Limits);
    let row = Row::of("moving, bucket", &setting, seeds);
    row.assert(95.0, 0.5).assert_follows();
}

fn found(seeds: Range<u64>) {
    let setting = alone(Client::Default, Bucket, MOVING, Says::Wait);
    let row = Row::of("moving, bucket", &setting, seeds);
    row.assert(85.0, 0.5).assert_follows();
}

const SEEDS: Range<u64> = 0..8;
const FIVE: Range<u64> = 0..5;
/// One-way delays in milliseconds: 150 of jitter.
const FAR: (u64, u64) = (10, 160);
