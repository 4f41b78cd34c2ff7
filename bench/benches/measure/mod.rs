//! Code that the timed benchmarks share.

use std::{ops::RangeInclusive, time::Duration};

use criterion::{BenchmarkGroup, measurement::WallTime};
use tokio::runtime::Runtime;
use tower_together_bench::Row;

/// Nanoseconds per call of a row, and the ratio to another row that is called in turns with it. The rows take turns
/// because the machine's other load changes more from second to second than a layer takes.
pub(crate) fn in_turns(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    rows: &mut [Row],
    (row, other): (usize, usize),
    runtime: &Runtime,
) -> Option<(f64, f64)> {
    let at_once = rows[row].at_once;
    let mut times = Vec::new();
    let took = median(group, name, at_once..=at_once, |calls| {
        let its = rows[row].one(runtime, calls);
        let others = rows[other].one(runtime, calls);
        if calls == at_once {
            times.push(its.as_secs_f64() / others.as_secs_f64());
        }
        its
    });
    took.zip(middle(times))
}

/// Measures with criterion, and keeps samples of its own, from which the ratios between rows are computed. Returns
/// nanoseconds per call.
///
/// A sample has `at_once` calls. If they take less than the system's time slice, their median is unaffected by other
/// programs on the same machine; criterion's own samples are longer.
pub(crate) fn median(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    at_once: RangeInclusive<u64>,
    mut run: impl FnMut(u64) -> Duration,
) -> Option<f64> {
    let mut samples = Vec::new();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|mut calls| {
            let mut took = Duration::ZERO;
            while calls > 0 {
                let now = calls.min(*at_once.end());
                let time = run(now);
                if at_once.contains(&now) {
                    samples.push(time.as_secs_f64() * 1e9 / now as f64);
                }
                took += time;
                calls -= now;
            }
            took
        });
    });
    middle(samples)
}

fn middle(mut samples: Vec<f64>) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
}

pub(crate) fn number(value: Option<f64>, width: usize, digits: usize) -> String {
    value.map_or_else(
        || format!("{:>width$}", "-"),
        |value| format!("{value:>width$.digits$}"),
    )
}

pub(crate) fn aim(what: &str, of: &str, is: Option<f64>, at_most: Option<f64>) {
    let Some(is) = is else { return };
    print!("{what}, {of}: {is:.2}");
    match at_most {
        Some(most) if is <= most => println!(" (aim: at most {most}) reached"),
        Some(most) => println!(" (aim: at most {most}) MISSED"),
        None => println!(),
    }
}
