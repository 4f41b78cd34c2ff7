//! Draws how the learned pace of a lane follows a server's moving limit, compared with a plain token bucket. Time is
//! virtual: it takes two seconds.
//!
//! ```sh
//! cargo run --release -p tower-together-simulation --example learned_limits              # all servers, into learned_limits.svg
//! cargo run --release -p tower-together-simulation --example learned_limits -- --server bucket bucket.svg         # one of them
//! ```
//!
//! The servers, the network and the clients are those of `tests/learning`.
//!
//! | module | what it does |
//! |---|---|
//! | `args` | reads the command line |
//! | `case` | says which servers and clients there are, and lets them run |
//! | `series` | makes curves of what was counted second by second |
//! | `table` | shows them in the terminal |
//! | `drawing`, `panel`, `words` | draw them, for light and for dark pages |

mod args;
mod case;
mod drawing;
mod panel;
mod series;
mod table;
mod words;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use crate::{args::Args, case::CLIENTS};

fn main() -> ExitCode {
    match draw(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

fn draw(args: &Args) -> io::Result<()> {
    let mut rows = Vec::new();
    for case in args.cases() {
        table::title(*case)?;
        let mut tallies = Vec::new();
        for client in 0..CLIENTS.len() {
            let tally = case.run(client, args.seed);
            table::line(client, &tally)?;
            tallies.push(tally);
        }
        rows.push((*case, tallies));
    }
    let path = args.file.display();
    svg::save(&args.file, &drawing::of(&rows))
        .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
    writeln!(io::stdout(), "\ndrawn in {path}")
}
