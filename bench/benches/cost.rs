//! Nanoseconds per call, and the ratio to the no-op's. See the library's documentation.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

mod measure;

use std::{ops::RangeInclusive, time::Duration};

use criterion::{BenchmarkGroup, Criterion, SamplingMode, measurement::WallTime};
use tokio::runtime::Runtime;
use tower_together_bench::{BESIDE, OURS, Row, rows, runtime};

use crate::measure::{aim, in_turns, median, number};

/// Medians, in nanoseconds per call; `None` for rows that were not selected or do not apply.
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
        let at_once = row.at_once..=row.at_once;
        let one = median(
            &mut group,
            &format!("{name}, one thread"),
            at_once,
            |calls| row.one(&runtime, calls),
        );
        let two = row.is_for_two().then(|| {
            median(&mut group, &format!("{name}, two threads"), TWO, |calls| {
                row.two(calls)
            })
        });
        let two = two.flatten();
        measured.push(Measured { one, two });
    }
    let beside = beside(&mut group, &mut rows, &runtime);
    group.finish();
    table(&rows, &measured);
    aims(&rows, &measured);
    for (what, of, times, at_most) in beside {
        aim(what, &of, times, at_most);
    }
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
    aim(OURS, "of the no-op's time, one thread", one, Some(6.0));
    aim(
        OURS,
        "two threads' multiple over one thread's",
        ratio(two, one),
        Some(2.0),
    );
    aim(OURS, "100,000 keys over one key", many, Some(2.0));
}

/// Compares the pairs of [`BESIDE`] in each section that has both rows. Returns the section and the pair, the ratio of
/// the first to the second, and the largest ratio allowed.
fn beside(
    group: &mut BenchmarkGroup<'_, WallTime>,
    rows: &mut [Row],
    runtime: &Runtime,
) -> Vec<(&'static str, String, Option<f64>, Option<f64>)> {
    let mut found = Vec::new();
    for (ours, theirs, at_most) in BESIDE {
        let places = |name| {
            let named = rows.iter().enumerate();
            named.filter_map(move |(place, row)| (row.name == name).then_some(place))
        };
        let pairs: Vec<_> = places(ours).zip(places(theirs)).collect();
        for pair in pairs {
            let heading = rows[rows[pair.0].no_op].heading.unwrap_or_default();
            let of = format!("beside {theirs} ({heading})");
            let took = in_turns(group, &format!("{ours}, {of}"), rows, pair, runtime);
            found.push((ours, of, took.map(|(_, times)| times), at_most));
        }
    }
    found
}

fn to_one_key(row: &Row, cost: &Measured, measured: &[Measured]) -> Option<f64> {
    ratio(cost.one, measured[row.one_key?].one)
}

fn ratio(of: Option<f64>, to: Option<f64>) -> Option<f64> {
    Some(of? / to?)
}

/// Calls of one thread. Threads are started for each measurement, so more calls are better.
const TWO: RangeInclusive<u64> = 1_000..=u64::MAX;
