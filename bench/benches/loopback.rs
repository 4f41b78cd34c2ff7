//! Microseconds per call over a socket, and the ratio to the bare client's. See the library's documentation.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

mod measure;

use std::time::Duration;

use criterion::{Criterion, SamplingMode};
use tower_together_bench::{Row, Server, WATCHING, loopback, runtime_with_sockets};

use crate::measure::{aim, in_turns, number};

/// Medians: nanoseconds, and the ratio to the first row of the same client; `None` for rows that were not selected.
type Measured = Option<(f64, f64)>;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(40)
        .configure_from_args();
    let server = Server::start();
    let runtime = runtime_with_sockets();
    let mut rows = loopback(&server);
    for row in &mut rows {
        row.prime(&runtime);
    }
    let mut measured = Vec::new();
    let mut group = criterion.benchmark_group("a call over a socket");
    group.sampling_mode(SamplingMode::Flat);
    for index in 0..rows.len() {
        let (name, first) = (
            format!("{index:02} {}", rows[index].name),
            rows[index].no_op,
        );
        measured.push(in_turns(
            &mut group,
            &name,
            &mut rows,
            (index, first),
            &runtime,
        ));
    }
    group.finish();
    table(&rows, &measured);
    println!(
        "\nconnections made, by {} clients: {}",
        rows.len(),
        server.connections()
    );
    aims(&rows, &measured);
    criterion.final_summary();
}

fn table(rows: &[Row], measured: &[Measured]) {
    println!(
        "\n{:46}{:>9} {:>10}{:>12}",
        "a call over a socket", "us", "x first", "us more"
    );
    for (row, cost) in rows.iter().zip(measured) {
        if let Some(heading) = row.heading {
            println!("{heading}");
        }
        let (micros, times) = cost.map(|(nanos, times)| (nanos / 1e3, times)).unzip();
        let more = cost.map(|(nanos, times)| (nanos - nanos / times) / 1e3);
        print!("  {:44}{}", row.name, number(micros, 9, 2));
        println!(" {}{}", number(times, 10, 3), number(more, 12, 2));
    }
}

fn aims(rows: &[Row], measured: &[Measured]) {
    for (row, cost) in rows.iter().zip(measured) {
        if row.name == WATCHING {
            let of = "of the time of one that does not";
            aim(WATCHING, of, cost.map(|(_, times)| times), Some(1.05));
        }
    }
}
