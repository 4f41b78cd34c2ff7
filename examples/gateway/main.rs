//! A gateway: many programs, one key, one set of limits.
//!
//! ```sh
//! cargo run --release --example gateway                 # no key needed; says what to try
//! cargo run --release --example gateway -- --demo       # with traffic to look at
//! TOGETHER_API_KEY=... cargo run --release --example gateway
//! TOGETHER_API_KEY=... GATEWAY_TOKENS=tom,ann cargo run --release --example gateway -- \
//!     --listen 0.0.0.0:8018
//! ```
//!
//! Any client of the OpenAI API, in any language, works through it when its base URL is
//! `http://127.0.0.1:8018/v1`. Limits are for one process, so programs that share a key and each keep
//! to the limits by themselves exceed them together: here they share a limiter too.
//!
//! ```text
//! programs ──► axum ──► access ──► read ahead ──► TogetherLayer ──► hyper ──► Together AI
//!    ▲                                                                            │
//!    └────────────────────── answers, as they come ───────────────────────────────┘
//! ```
//!
//! - Programs are served in turn: each call carries a `Caller` made from its program's own
//!   credential, or else its address.
//! - Answers stream through as they come, and requests too: nothing is kept but what is needed to
//!   know a request's model, and to send it again.
//! - A program that hangs up leaves the queue, and its slot is free: axum drops what was working for
//!   it, and the layers give back what that held.
//! - What cannot leave in time is refused at once, with a 429 and a `Retry-After` that SDKs obey.
//! - No credential passes in either direction.
//! - Websockets do not pass: the two realtime routes of the API need a connection of their own.
//!
//! The line that does it is in [`client::sender`], marked *here*.
//!
//! | module | what it does |
//! |---|---|
//! | `args`, `target` | read the command line, and decide where calls go |
//! | `serve`, `access` | let programs in, or not |
//! | `app`, `forward` | take a call to the API and its answer back |
//! | `body`, `headers`, `error` | what of it changes on the way |
//! | `client` | the layer, and the HTTP client behind it |
//! | `traffic`, `history` | count what is open, and remember what was |
//! | `lanes`, `page`, `metrics` | show it |
//! | `demo` | makes up programs |

mod access;
mod app;
mod args;
mod body;
mod client;
mod demo;
mod error;
mod forward;
mod headers;
mod history;
mod lanes;
mod metrics;
mod page;
mod serve;
mod target;
mod traffic;

use std::{
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use tokio::net::TcpListener;
use tower::BoxError;
use tower_together::Limiter;

use crate::{
    access::Access,
    app::{Gateway, app},
    args::Args,
    serve::{Door, serve},
    target::Target,
};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {}", client::with_causes(&*error)));
            ExitCode::from(2)
        }
    }
}

async fn run(args: Args) -> Result<(), BoxError> {
    let access = Access::from_env();
    access.allows(args.listen)?;
    let target = Target::choose(&args).await?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        format!(
            "{}: {error}; --listen 127.0.0.1:0 takes any free port",
            args.listen
        )
    })?;
    let address = listener.local_addr()?;
    let limiter = Limiter::new(args.limits())
        .with_max_wait(args.max_wait)
        .with_max_waiting(MAX_WAITING);
    let gateway = Arc::new(Gateway::new(access, target, limiter.clone()));

    writeln!(io::stdout(), "listening on http://{address}")?;
    greet(address, &gateway.target, args.demo);
    tokio::spawn(history::sample(Arc::clone(&gateway)));
    if args.demo {
        demo::start(address, Arc::clone(&gateway));
    }
    let door = Door {
        listener,
        traffic: Arc::clone(&gateway.traffic),
    };
    serve(door, app(gateway), limiter).await?;
    Ok(())
}

/// Says what to do next.
fn greet(address: SocketAddr, target: &Target, demo: bool) {
    let name = target.name();
    if target.stand_in().is_none() {
        say(&format!(
            "calls go to {name}; the page is http://{address}/"
        ));
        return;
    }
    say("no TOGETHER_API_KEY: serving a stand-in for Together AI, started inside this program");
    say(&format!("the page: http://{address}/"));
    say(&format!(
        "to try it: curl -N http://{address}/v1/chat/completions -H 'content-type: application/json' \
         -d '{{\"model\":\"a-model\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'"
    ));
    if !demo {
        say("with --demo it makes up traffic to look at");
    }
}

/// Writes a line to standard error; there is nobody to tell if that fails.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Each may hold a megabyte that was read ahead.
const MAX_WAITING: usize = 4_096;
