//! The wait of a polite program, which sends one request at a time, beside a greedy one with 200 in flight, at a limit
//! of 600 requests a minute: through the gateway, and through nginx's `limit_req` (Debian: `nginx-light`). Both are
//! processes in front of a stand-in, over loopback. It takes two and a half minutes:
//!
//! ```sh
//! cargo bench -p together-gateway --bench fairness
//! ```
//!
//! Without nginx, it measures tower's `RateLimit` in a `Buffer` instead: a queue that serves all requests in the order
//! of their arrival, as nginx's does.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]
#![allow(
    clippy::disallowed_methods,
    reason = "processes and real sockets take real time"
)]

mod process;
mod way;

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use testing::until;
use together_standin::StandIn;
use tokio::task::JoinSet;
use tower::BoxError;

use crate::{
    process::{gateway, nginx},
    way::Way,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    println!("600 requests a minute, {GREEDY} of a greedy program in flight, 1 of a polite one");
    println!(
        "{:20}{:>14}{:>26}{:>8}",
        "", "polite waits", "polite responses in 60 s", "429s"
    );
    let api = StandIn::start().await?;
    let gateway = gateway(&api).await?;
    measure("the gateway", &api, Way::to(&gateway.url)).await?;

    // A new stand-in, whose limit is whole.
    let api = StandIn::start().await?;
    match nginx(&api).await {
        Ok(nginx) => measure("nginx, limit_req", &api, Way::to(&nginx.url)).await,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("nginx is not installed (Debian: apt-get install nginx-light). Instead:");
            measure("tower, RateLimit", &api, Way::in_order(api.url())).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Prints the polite program's median wait.
async fn measure(name: &str, api: &StandIn, way: Way) -> Result<(), BoxError> {
    let mut greedy = JoinSet::new();
    for _ in 0..GREEDY {
        let way = way.clone();
        greedy.spawn(async move {
            loop {
                if let Err(error) = way.ask("greedy").await {
                    return error;
                }
            }
        });
    }
    let queued = until("the burst is over", async || api.stats().accepted > 20);
    tokio::select! {
        () = queued => {}
        Some(error) = greedy.join_next() => return Err(error?),
    }
    let mut waits = Vec::new();
    let since = Instant::now();
    while since.elapsed() < MINUTE {
        waits.push(way.ask("polite").await?);
    }
    if let Some(error) = greedy.try_join_next() {
        return Err(error?);
    }
    waits.sort_unstable();
    let (median, refused) = (waits[waits.len() / 2].as_secs_f64(), api.stats().refused);
    println!("{name:20}{median:>12.2} s{:>26}{refused:>8}", waits.len());
    Ok(())
}

const GREEDY: usize = 200;
const MINUTE: Duration = Duration::from_secs(60);
