//! Clients with more work than servers allow, in virtual time: the network, the ways in which servers count, moving
//! limits, and a tally of the requests' outcomes.
//!
//! The suites in `tests/` assert figures of the layers, and `examples/learned_limits` draws some of the same runs.
#![allow(
    missing_debug_implementations,
    missing_docs,
    reason = "names say it, and only this workspace reads them"
)]

pub mod counter;
pub mod limit;
pub mod network;
pub mod plain;
mod response;
mod rules;
pub mod run;
pub mod server;
pub mod setting;
pub mod tally;

/// Prints a line of a table.
#[expect(clippy::print_stdout, reason = "the tables of the long tests")]
pub fn say(line: std::fmt::Arguments<'_>) {
    println!("{line}");
}
