//! Microseconds a call over a socket, and how many times the bare client's. See the library's
//! documentation.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

mod measure;

use std::{ops::RangeInclusive, time::Duration};

use criterion::{Criterion, SamplingMode};
use tower_together_bench::{Row, Server, loopback, runtime_with_sockets};

use crate::measure::{median, middle, number};

/// Medians; `None` for what was not asked for.
struct Measured {
    micros: Option<f64>,
    /// How many times the bare client's, and how many microseconds more.
    beside: Option<(f64, f64)>,
}

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
        let (name, bare) = (
            format!("{index:02} {}", rows[index].name),
            rows[index].no_op,
        );
        let (mut times, mut more) = (Vec::new(), Vec::new());
        let nanos = median(&mut group, &name, AT_ONCE, |calls| {
            // In turns: how fast a thread wakes up changes more from second to second than a layer
            // takes.
            let its = rows[index].one(&runtime, calls);
            let bare = rows[bare].one(&runtime, calls);
            let (its_micros, bare_micros) = (micros(its, calls), micros(bare, calls));
            times.push(its_micros / bare_micros);
            more.push(its_micros - bare_micros);
            its
        });
        measured.push(Measured {
            micros: nanos.map(|nanos| nanos / 1e3),
            beside: middle(times).zip(middle(more)),
        });
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

fn table(rows: &[Row], measured: &[Measured]) {
    println!(
        "\n{:46}{:>9} {:>10}{:>12}",
        "a call over a socket", "us", "x bare", "us more"
    );
    for (row, cost) in rows.iter().zip(measured) {
        if let Some(heading) = row.heading {
            println!("{heading}");
        }
        let (times, more) = cost.beside.unzip();
        print!("  {:44}{}", row.name, number(cost.micros, 9, 2));
        println!(" {}{}", number(times, 10, 3), number(more, 12, 2));
    }
}

fn micros(took: Duration, calls: u64) -> f64 {
    took.as_secs_f64() * 1e6 / calls as f64
}

/// Some milliseconds.
const AT_ONCE: RangeInclusive<u64> = 100..=100;
