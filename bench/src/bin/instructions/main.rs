//! Instructions and allocations per call, and ratios to the no-op and to other crates. See the library's documentation.
//!
//! ```sh
//! cargo run --release -p tower-together-bench --bin instructions             # the table
//! cargo run --release -p tower-together-bench --bin instructions -- 2 5 6    # these rows of it
//! cargo run --release -p tower-together-bench --bin instructions -- --check  # compares with instructions.txt
//! cargo run --release -p tower-together-bench --bin instructions -- --write  # writes instructions.txt
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is what this program is for"
)]

mod figures;
mod table;
mod valgrind;

use std::{env, error::Error, process::ExitCode};

use tower_together_bench::{rows_of_few_keys, runtime};

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Failure> {
    if let Some(row) = valgrind::row() {
        valgrind::call(row?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = rows_of_few_keys(&runtime());
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--check"] => return figures::check(&rows),
        ["--write"] => figures::write(&rows)?,
        [] => table::print(&rows, 0..rows.len())?,
        _ => {
            let chosen: Result<Vec<usize>, _> = arguments.iter().map(|row| row.parse()).collect();
            let chosen = chosen.map_err(|_| "usage: instructions [--check | --write | ROW...]")?;
            table::print(&rows, chosen)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
