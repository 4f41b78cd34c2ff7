//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::servers::{self, Server};

/// Compares clients of rate-limited APIs with each other, in virtual time. Without options it renews the tables and
/// the plots in docs/.
#[derive(Debug, Parser)]
#[command(name = "comparison")]
pub(crate) struct Args {
    /// Only these servers [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = names())]
    server: Vec<String>,

    /// Runs of each client with each server, of which the medians are shown
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: u64,

    /// Where the tables and the plots go [default: docs, if all servers and five seeds run; otherwise nowhere]
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

impl Args {
    pub(crate) fn servers(&self) -> Vec<Server> {
        let mut servers = servers::all();
        servers.retain(|server| {
            self.takes_all() || self.server.iter().any(|name| name == server.name)
        });
        servers
    }

    pub(crate) fn folder(&self) -> Option<PathBuf> {
        let is_whole = self.takes_all() && self.seeds == SEEDS;
        self.to.clone().or_else(|| is_whole.then(|| "docs".into()))
    }

    fn takes_all(&self) -> bool {
        self.server.is_empty()
    }
}

fn names() -> clap::builder::PossibleValuesParser {
    servers::all()
        .iter()
        .map(|server| server.name)
        .collect::<Vec<_>>()
        .into()
}

const SEEDS: u64 = 5;
