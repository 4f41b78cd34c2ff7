//! Compares clients of rate-limited APIs: this crate, other limiters, and retries alone. Time is virtual.
//!
//! ```sh
//! cargo run --release -p tower-together-simulation --example comparison                          # all, into docs/
//! cargo run --release -p tower-together-simulation --example comparison -- --server bucket,tokens --seeds 1
//! ```
//!
//! It fails if an aim is missed without a reason in `aims`, or if a reason is there for an aim that is met.
//!
//! | module | what it does |
//! |---|---|
//! | `args` | reads the command line |
//! | `servers` | the servers, and the work of their clients |
//! | `clients` | the clients, a file each |
//! | `wire` | the calls, and the connection over which clients send them |
//! | `run`, `ideal` | one run, and what an ideal client would do in it |
//! | `all_runs`, `progress` | all runs, on all cores, and their progress |
//! | `figures`, `aims` | the figures of a run, and what they should be |
//! | `table`, `plot` | show them |

mod aims;
mod all_runs;
mod args;
mod clients;
mod figures;
mod ideal;
mod plot;
mod progress;
mod run;
mod servers;
mod table;
mod wire;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::Parser;

use crate::{
    aims::Aim,
    all_runs::{Row, all_runs},
    args::Args,
};

fn main() -> ExitCode {
    match compare(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs everything, and returns whether each aim is met or has a reason.
fn compare(args: &Args) -> io::Result<bool> {
    let folder = args.folder();
    if let Some(folder) = folder.as_deref().filter(|folder| !folder.is_dir()) {
        let message = format!("{}: no such folder", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    let rows = all_runs(args.servers(), args.seeds)?;
    let aims = Aim::all(&rows);
    let text = format!(
        "# Over all servers\n\n{}\n# The aims\n\n{}\n# Each server\n\n{}",
        table::summary(&rows),
        table::aims(&aims),
        table::servers(&rows)
    );
    write!(io::stdout(), "{text}")?;
    if let Some(folder) = folder {
        write_into(&folder, &text, &rows)?;
    }
    let mut sound = true;
    for aim in &aims {
        let (kind, server) = (if aim.given { "written" } else { "default" }, aim.server);
        match (aim.is_met(), aim.exception()) {
            (false, None) => writeln!(io::stderr(), "missed without a reason: {server}, {kind}")?,
            (true, Some(_)) => {
                writeln!(io::stderr(), "met, in spite of a reason: {server}, {kind}")?
            }
            _ => continue,
        }
        sound = false;
    }
    Ok(sound)
}

fn write_into(folder: &Path, text: &str, rows: &[Row]) -> io::Result<()> {
    fs::write(folder.join("comparison_table.md"), text)?;
    svg::save(
        folder.join("comparison_used.svg"),
        &plot::of(rows, &plot::USED),
    )?;
    svg::save(
        folder.join("comparison_429s.svg"),
        &plot::of(rows, &plot::REJECTED),
    )?;
    writeln!(io::stdout(), "written into {}", folder.display())
}
