//! Nanoseconds a call, and how many times the no-op's. See the library's documentation.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

mod measure;

use std::{ops::RangeInclusive, time::Duration};

use criterion::{Criterion, SamplingMode};
use tower_together_bench::{BESIDE, OURS, Row, rows, runtime};

use crate::measure::{median, number};

/// Medians, in nanoseconds a call; `None` for what was not asked for or does not apply.
struct Measured {
    one: Option<f64>,
    two: Option<f64>,
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(40)
        .configure_from_args();
    let runtime = runtime();
    let mut rows = rows(&runtime);
    let mut measured = Vec::new();
    let mut group = criterion.benchmark_group("a call that need not wait");
    group.sampling_mode(SamplingMode::Flat);
    for (index, row) in rows.iter_mut().enumerate() {
        let name = format!("{index:02} {}", row.name);
        row.prime(&runtime);
        let one = median(&mut group, &format!("{name}, one thread"), ONE, |calls| {
            row.one(&runtime, calls)
        });
        let two = row.is_for_two().then(|| {
            median(&mut group, &format!("{name}, two threads"), TWO, |calls| {
                row.two(calls)
            })
        });
        let two = two.flatten();
        measured.push(Measured { one, two });
    }
    group.finish();
    table(&rows, &measured);
    aims(&rows, &measured);
    criterion.final_summary();
}

fn table(rows: &[Row], measured: &[Measured]) {
    println!(
        "\n{:46}{:>20}{:>22}",
        "", "one thread", "two threads, of each"
    );
    print!(
        "{:46}{:>9} {:>10}",
        "a call that need not wait", "ns", "x no-op"
    );
    println!("{:>11} {:>10}{:>12}", "ns", "x no-op", "x one key");
    for (row, cost) in rows.iter().zip(measured) {
        let no_op = &measured[row.no_op];
        if let Some(heading) = row.heading {
            println!("{heading}");
        }
        print!("  {:44}", row.name);
        print!(
            "{} {}",
            number(cost.one, 9, 1),
            number(ratio(cost.one, no_op.one), 10, 2)
        );
        print!(
            "  {} {}",
            number(cost.two, 9, 1),
            number(ratio(cost.two, no_op.two), 10, 2)
        );
        println!("{}", number(to_one_key(row, cost, measured), 12, 2));
    }
}

fn aims(rows: &[Row], measured: &[Measured]) {
    let ours = rows
        .iter()
        .zip(measured)
        .filter(|(row, _)| row.name == OURS);
    let ours: Vec<_> = ours.collect();
    let Some((row, first)) = ours.first() else {
        return;
    };
    let one = ratio(first.one, measured[row.no_op].one);
    let two = ratio(first.two, measured[row.no_op].two);
    let many = ours
        .iter()
        .rev()
        .find_map(|(row, cost)| to_one_key(row, cost, measured));
    println!();
    aim(OURS, "of the no-op's time, one thread", one, 6.0);
    aim(
        OURS,
        "two threads' multiple over one thread's",
        ratio(two, one),
        2.0,
    );
    aim(OURS, "100,000 keys over one key", many, 2.0);
    for beside in BESIDE {
        aims_beside(beside, rows, measured);
    }
}

/// In each section that has both.
fn aims_beside((ours, theirs): (&str, &str), rows: &[Row], measured: &[Measured]) {
    let named = |name| {
        let named = rows.iter().zip(measured);
        named.filter(move |(row, _)| row.name == name)
    };
    for ((row, our), (_, their)) in named(ours).zip(named(theirs)) {
        let heading = rows[row.no_op].heading.unwrap_or_default();
        let of = format!("beside {theirs} ({heading})");
        aim(ours, &of, ratio(our.one, their.one), 1.5);
    }
}

fn aim(what: &str, of: &str, is: Option<f64>, at_most: f64) {
    let Some(is) = is else { return };
    let verdict = if is <= at_most { "reached" } else { "MISSED" };
    println!("{what}, {of}: {is:.2} (aim: at most {at_most}) {verdict}");
}

fn to_one_key(row: &Row, cost: &Measured, measured: &[Measured]) -> Option<f64> {
    ratio(cost.one, measured[row.one_key?].one)
}

fn ratio(of: Option<f64>, to: Option<f64>) -> Option<f64> {
    Some(of? / to?)
}

/// A tenth of a millisecond or more.
const ONE: RangeInclusive<u64> = 1_000..=1_000;
/// Threads are started for it: the more the better.
const TWO: RangeInclusive<u64> = 1_000..=u64::MAX;
