//! Instructions per call, and the ratio to the no-op's. See the library's documentation.
//!
//! ```sh
//! cargo run --release -p tower-together-bench --bin instructions             # every row
//! cargo run --release -p tower-together-bench --bin instructions -- 2 5 6    # these rows
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is what this program is for"
)]

use std::{
    collections::{BTreeMap, btree_map::Entry},
    env,
    error::Error,
    process::{Command, ExitCode},
};

use tokio::runtime::Runtime;
use tower_together_bench::{Row, rows_of_few_keys, runtime};

/// Names the row to call under callgrind.
const ROW: &str = "TOGETHER_BENCH_ROW";
/// Calls before the counted ones, so that everything that is made once exists.
const BEFORE: u64 = 1_000;
const COUNTED: u64 = 1_000;

fn main() -> ExitCode {
    let done = match env::var(ROW) {
        Ok(row) => call(&row),
        Err(_) => table(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn call(row: &str) -> Result<(), Box<dyn Error>> {
    let runtime = runtime();
    let mut rows = rows_of_few_keys(&runtime);
    let row = rows.get_mut(row.parse::<usize>()?).ok_or("no such row")?;
    row.one(&runtime, BEFORE);
    counted(row, &runtime);
    Ok(())
}

/// Callgrind counts the instructions in this function.
#[inline(never)]
fn counted(row: &mut Row, runtime: &Runtime) {
    row.one(runtime, COUNTED);
}

fn table() -> Result<(), Box<dyn Error>> {
    let rows = rows_of_few_keys(&runtime());
    let chosen: Result<Vec<usize>, _> = env::args().skip(1).map(|row| row.parse()).collect();
    let chosen =
        chosen.map_err(|_| "The arguments are numbers of rows. Without any, all are counted.")?;
    let chosen = match chosen.is_empty() {
        true => (0..rows.len()).collect(),
        false => chosen,
    };
    println!("{:50}{:>14}{:>10}", "", "instructions", "x no-op");
    let mut counted = BTreeMap::new();
    for row in chosen {
        let Row {
            name,
            no_op,
            heading,
            ..
        } = rows.get(row).ok_or("no such row")?;
        if let Some(heading) = heading {
            println!("{heading}");
        }
        for row in [*no_op, row] {
            if let Entry::Vacant(place) = counted.entry(row) {
                place.insert(instructions(row)?);
            }
        }
        let times = counted[&row] / counted[no_op];
        println!("{row:3} {name:46}{:>14.0}{times:>10.2}", counted[&row]);
    }
    Ok(())
}

/// Instructions per call of a row.
fn instructions(row: usize) -> Result<f64, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*instructions*counted*")
        .arg(env::current_exe()?)
        .env(ROW, row.to_string())
        .output()
        .map_err(|error| format!("valgrind: {error}. Install it (Debian: valgrind)."))?;
    let told = String::from_utf8_lossy(&output.stderr);
    let number = told
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let number = number.ok_or_else(|| format!("callgrind counted nothing: {told}"))?;
    Ok(number.1.trim().parse::<u64>()? as f64 / COUNTED as f64)
}
