//! Counts the calls of one row, in a process of its own under valgrind.

use std::{
    env,
    process::{Command, Output},
};

use tokio::runtime::Runtime;
use tower_together_bench::{Row, rows_of_few_keys, runtime};

use crate::Failure;

/// Names the row to call, and the number of calls to be counted.
const ROW: &str = "TOGETHER_BENCH_ROW";
const CALLS: &str = "TOGETHER_BENCH_CALLS";

/// Calls before the counted ones, so that everything that is made once exists.
const BEFORE: u64 = 1_000;
const COUNTED: u64 = 1_000;

/// The row that this process is to call, if it is one under valgrind.
pub(crate) fn row() -> Option<Result<usize, Failure>> {
    let row = env::var(ROW).ok()?;
    Some(row.parse().map_err(Failure::from))
}

pub(crate) fn call(row: usize) -> Result<(), Failure> {
    let calls = env::var(CALLS)?.parse()?;
    let runtime = runtime();
    let mut rows = rows_of_few_keys(&runtime);
    let row = rows.get_mut(row).ok_or("no such row")?;
    row.one(&runtime, BEFORE);
    counted(row, &runtime, calls);
    Ok(())
}

/// Callgrind counts the instructions in this function.
#[inline(never)]
fn counted(row: &mut Row, runtime: &Runtime, calls: u64) {
    row.one(runtime, calls);
}

/// Instructions per call of a row.
pub(crate) fn instructions(row: usize) -> Result<f64, Failure> {
    let tool = [
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--toggle-collect=*instructions*counted*",
    ];
    let counted = number(&run(&tool, row, COUNTED)?, "Collected : ")?;
    Ok(counted as f64 / COUNTED as f64)
}

/// Heap allocations per call of a row: the difference between a run with the counted calls and one without them.
pub(crate) fn allocations(row: usize) -> Result<f64, Failure> {
    let tool = [
        "--tool=memcheck",
        "--leak-check=no",
        "--undef-value-errors=no",
    ];
    let all = |calls| number(&run(&tool, row, calls)?, "total heap usage: ");
    Ok((all(COUNTED)? - all(0)?) as f64 / COUNTED as f64)
}

fn run(tool: &[&str], row: usize, calls: u64) -> Result<Output, Failure> {
    let run = Command::new("valgrind")
        .args(tool)
        .arg(env::current_exe()?)
        .env(ROW, row.to_string())
        .env(CALLS, calls.to_string())
        .output();
    Ok(run.map_err(|error| format!("valgrind: {error}. Install it (Debian: valgrind)."))?)
}

/// The number that follows these words.
fn number(output: &Output, words: &str) -> Result<u64, Failure> {
    let text = String::from_utf8_lossy(&output.stderr);
    let rest = text
        .lines()
        .find_map(|line| Some(line.split_once(words)?.1));
    let number = rest.and_then(|rest| rest.split_whitespace().next());
    let number = number.ok_or_else(|| format!("valgrind counted nothing: {text}"))?;
    Ok(number.replace(',', "").parse()?)
}
