//! The stand-in as a program: `together-standin --help` has its manual.

mod args;
mod values;

use clap::{CommandFactory, Parser, error::ErrorKind};

#[tokio::main]
async fn main() {
    let args = args::Args::parse();
    match args.builder().start().await {
        Ok(server) => {
            announce(&server.url());
            // Until somebody ends the process.
            std::future::pending().await
        }
        Err(error) => args::Args::command().error(ErrorKind::Io, error).exit(),
    }
}

#[expect(
    clippy::print_stdout,
    reason = "on port 0, the caller of the program reads from this line where it listens"
)]
fn announce(url: &str) {
    println!("listening on {url}");
}
