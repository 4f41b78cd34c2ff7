//! What the programs that take time have in common.

use std::{ops::RangeInclusive, time::Duration};

use criterion::{BenchmarkGroup, measurement::WallTime};

/// Has criterion measure, and keeps samples of its own: the ratios between rows are made of them.
/// Nanoseconds a call.
///
/// A sample is of `at_once` calls. Where they take less than the system lets a program run for, their
/// median does not mind that others run on the same machine; criterion's own samples are longer.
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

pub(crate) fn middle(mut samples: Vec<f64>) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
}

pub(crate) fn number(value: Option<f64>, width: usize, digits: usize) -> String {
    value.map_or_else(
        || format!("{:>width$}", "-"),
        |value| format!("{value:>width$.digits$}"),
    )
}
