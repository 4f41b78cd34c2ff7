//! Heap allocations per call, and how many more than the no-op's. See the library's documentation.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower_together_bench::{OURS, rows, runtime};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let runtime = runtime();
    let mut rows = rows(&runtime);
    println!(
        "\n{:46}{:>9} {:>10}",
        "allocations of a call", "all", "its own"
    );
    let mut all = Vec::with_capacity(rows.len());
    let mut missed = Vec::new();
    for row in &mut rows {
        row.prime(&runtime);
        let region = Region::new(ALLOCATOR);
        row.one(&runtime, CALLS);
        let change = region.change();
        let per_call = (change.allocations + change.reallocations) as f64 / CALLS as f64;
        all.push(per_call);
        let own = per_call - all[row.no_op];
        // Reading the model from a body has its own cost; the aim covers all other work.
        let reads_body = row.name.contains("model");
        if row.name.starts_with(OURS) && own > 0.0 && !reads_body {
            missed.push(row.name);
        }
        if let Some(heading) = row.heading {
            println!("{heading}");
        }
        println!("  {:44}{per_call:>9.2} {own:>10.2}", row.name);
    }
    println!();
    if missed.is_empty() {
        println!("{OURS}, allocations of its own: none where no body is read (aim: 0) reached");
    }
    for row in missed {
        println!("{row}: allocations of its own (aim: 0) MISSED");
    }
}

const CALLS: u64 = 10_000;
