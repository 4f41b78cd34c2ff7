//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::case::Case;

/// Draws how the pace that a lane learns follows a server's limit that moves.
#[derive(Debug, Parser)]
#[command(name = "learned_limits")]
pub(crate) struct Args {
    /// Where the drawing goes
    #[arg(value_name = "FILE", default_value = "learned_limits.svg")]
    pub(crate) file: PathBuf,

    /// Only this server, or these [default: all]
    #[arg(long, value_name = "SERVER", value_delimiter = ',')]
    server: Vec<Case>,

    /// Another run: other delays, other responses
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) seed: u64,
}

impl Args {
    pub(crate) fn cases(&self) -> &[Case] {
        match &*self.server {
            [] => Case::value_variants(),
            some => some,
        }
    }
}
