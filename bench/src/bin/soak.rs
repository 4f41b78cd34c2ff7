//! Sends requests over sockets for an hour, or for `--seconds`, and fails if memory or descriptors grow.
//!
//! ```sh
//! cargo run --release -p tower-together-bench --bin soak
//! cargo run --release -p tower-together-bench --bin soak -- --seconds 60
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is what this program is for"
)]

use std::{env, process::ExitCode, time::Duration};

use tower_together_bench::soak;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let seconds = match arguments[..] {
        [] => Some(3_600),
        ["--seconds", seconds] => seconds.parse().ok().filter(|seconds| *seconds > 0),
        _ => None,
    };
    let Some(seconds) = seconds else {
        eprintln!("usage: soak [--seconds N]");
        return ExitCode::from(2);
    };
    match soak(Duration::from_secs(seconds), |look| println!("{look}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(growth) => {
            eprintln!("{growth}");
            ExitCode::FAILURE
        }
    }
}
