//! Microseconds a call over a socket, and how many times the bare client's. See the library's
//! documentation.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

mod measure;

use std::{ops::RangeInclusive, time::Duration};

use criterion::{Criterion, SamplingMode};
use tower_together_bench::{Row, Server, loopback, runtime_with_sockets};

use crate::measure::{median, number, ratio};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(4))
        .sample_size(40)
        .configure_from_args();
    let server = Server::start();
    let runtime = runtime_with_sockets();
    let mut rows = loopback(&server);
    let mut measured = Vec::new();
    let mut group = criterion.benchmark_group("a call over a socket");
    group.sampling_mode(SamplingMode::Flat);
    for (index, row) in rows.iter_mut().enumerate() {
        row.prime(&runtime);
        let name = format!("{index:02} {}", row.name);
        let nanos = median(&mut group, &name, AT_ONCE, |calls| row.one(&runtime, calls));
        measured.push(nanos.map(|nanos| nanos / 1e3));
    }
    group.finish();
    table(&rows, &measured);
    println!(
        "\nconnections made, by {} clients: {}",
        rows.len(),
        server.connections()
    );
    criterion.final_summary();
}

fn table(rows: &[Row], measured: &[Option<f64>]) {
    println!(
        "\n{:46}{:>9} {:>10}{:>12}",
        "a call over a socket", "us", "x bare", "us more"
    );
    for (row, cost) in rows.iter().zip(measured) {
        let bare = measured[row.no_op];
        if let Some(heading) = row.heading {
            println!("{heading}");
        }
        let more = cost.zip(bare).map(|(cost, bare)| cost - bare);
        print!("  {:44}{}", row.name, number(*cost, 9, 2));
        println!(
            " {}{}",
            number(ratio(*cost, bare), 10, 3),
            number(more, 12, 2)
        );
    }
}

/// Some milliseconds.
const AT_ONCE: RangeInclusive<u64> = 100..=100;
