//! Nanoseconds a call, and how many times the no-op's. See the library's documentation.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

use tower_together_bench::{Cost, Measured, OURS, Plan, Row, rows, runtime};

fn main() {
    // Cargo says `--bench` when it is asked to measure, not when it is asked to test.
    let says = |word: &str| std::env::args().any(|argument| argument == word);
    let plan = if says("--quick") || !says("--bench") {
        Plan::QUICK
    } else {
        Plan::FULL
    };
    let runtime = runtime();
    let mut rows = rows(&runtime);
    let measured = plan.measure(&mut rows, &runtime);
    table(&rows, &measured);
    if is_busy(&measured[0]) {
        println!(
            "\nThe machine was busy: run again, and do not trust the columns for two threads."
        );
    }
    aims(&rows, &measured);
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
    for (row, measured) in rows.iter().zip(measured) {
        if let Some(heading) = row.heading {
            println!("{heading}");
        }
        print!("  {:44}{}", row.name, cost(Some(measured.one)));
        print!(" {}", cost(measured.two));
        println!(
            "{:>12}",
            measured
                .to_one_key
                .map(|times| format!("{times:.2}"))
                .unwrap_or_default()
        );
    }
}

/// Two threads of the no-op share nothing, so only a machine without two free cores slows them.
fn is_busy(no_op: &Measured) -> bool {
    let slower = |cost: Cost| cost.nanos > 1.25 * no_op.one.least;
    slower(no_op.one) || no_op.two.is_some_and(slower)
}

fn cost(cost: Option<Cost>) -> String {
    cost.map_or_else(
        || format!("{:>9} {:>10}", "-", "-"),
        |cost| format!("{:>9.1} {:>10.2}", cost.nanos, cost.ratio),
    )
}

fn aims(rows: &[Row], measured: &[Measured]) {
    let mut ours = rows
        .iter()
        .zip(measured)
        .filter(|(row, _)| row.name == OURS);
    let Some((_, first)) = ours.next() else {
        return;
    };
    let two = first.two.map_or(f64::NAN, |two| two.ratio);
    let many = ours.filter_map(|(_, many)| many.to_one_key).next_back();
    println!();
    aim("of the no-op's time, one thread", first.one.ratio, 6.0);
    aim(
        "two threads' multiple over one thread's",
        two / first.one.ratio,
        2.0,
    );
    aim("100,000 keys over one key", many.unwrap_or(f64::NAN), 2.0);
}

fn aim(of: &str, is: f64, at_most: f64) {
    let verdict = if is <= at_most { "reached" } else { "MISSED" };
    println!("{OURS}, {of}: {is:.2} (aim: at most {at_most}) {verdict}");
}
