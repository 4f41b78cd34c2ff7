//! A gateway: many programs, one key, one set of limits. Its README tells how to use it.
//!
//! Programs that share a key exceed its limits together if each of them keeps to the limits alone, because a limiter
//! serves one process. Here they share a limiter too.
//!
//! ```text
//! programs ──► axum ──► access ──► read ahead ──► TogetherLayer ──► hyper ──► Together AI
//!    ▲                                                                            │
//!    └────────────────────── responses, as they come ─────────────────────────────┘
//! ```
//!
//! The line that limits and retries is in [`upstream::client::sender`], marked *here*.
//!
//! Its modules, each of which uses only those below it:
//!
//! | module | what it does |
//! |---|---|
//! | `main`, `greet`, `demo` | starts the rest, says what to try, and makes up programs |
//! | `serve` | accepts connections until it is asked to stop |
//! | `app` | maps paths to handlers |
//! | `call` | takes a call to the API (`forward`) and its response back (`respond`): which headers pass, how long a call may take (`patience`), and how its response is cut short (`cut`) |
//! | `page`, `metrics` | show the lanes to people (`/`), as JSON (`/lanes`), and to Prometheus |
//! | `jobs` | asks what became of fine-tunes and batches |
//! | `gateway` | holds what all calls share |
//! | `upstream` | knows the API's address (`target`, `path`) and key, hides the key in responses (`mask`), tells when the API rejects it (`key_rejected`), and sends (`client`) |
//! | `connection` | serves one connection of a program, within the system's file descriptors |
//! | `access` | lets programs in by token, address or web page, or rejects them (`rejection`) |
//! | `config` | reads the command line and the file of `--config`; shares the limits through Redis (`sharing`) |
//! | `history` | keeps the last five minutes of each lane, and computes what remains of a limit (`windows`) |
//! | `monitor` | follows each call, counts what came of it, and logs it; notices an outage |
//! | `body` | reads request bodies ahead, into memory or onto disk |
//! | `error` | makes the gateway's own errors, in the API's shape |
//! | `shutdown`, `say` | the grace period, and lines on standard error |

mod access;
mod app;
mod body;
mod call;
mod config;
mod connection;
mod demo;
mod error;
mod gateway;
mod greet;
mod history;
mod jobs;
mod metrics;
mod monitor;
mod page;
mod say;
mod serve;
mod shutdown;
mod upstream;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use tokio::net::TcpListener;
use tower::BoxError;
use tower_together::Limiter;

use crate::{
    access::{Access, tokens::AccessTokens},
    app::app,
    config::{Config, args::Args, sharing},
    connection::descriptors::Descriptors,
    error::with_causes,
    gateway::Gateway,
    say::say,
    serve::serve,
    upstream::target::Target,
};

fn main() -> ExitCode {
    let code = until_the_end();
    // Calls that were cut are logged when the runtime drops them.
    say::flush();
    code
}

#[tokio::main]
async fn until_the_end() -> ExitCode {
    let run = async {
        let (args, config) = config::load()?;
        run(args, config).await
    };
    match run.await {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {}", with_causes(&*error)));
            ExitCode::from(2)
        }
    }
}

async fn run(args: Args, config: Config) -> Result<ExitCode, BoxError> {
    let mut tokens = AccessTokens::from_env()?;
    for (name, token) in &config.tokens {
        tokens.add(name, token);
    }
    let access = Access::new(tokens, args.hosts.clone());
    access.allows(args.listen)?;
    if args.demo && access.wants_token() {
        return Err("--demo makes up programs that have no token: unset GATEWAY_TOKENS".into());
    }
    let target = Target::choose(&args).await?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        format!(
            "{}: {error}; --listen 127.0.0.1:0 takes any free port",
            args.listen
        )
    })?;
    let address = listener.local_addr()?;
    let descriptors = Descriptors::raise();
    let limiter = Limiter::new(args.limits(descriptors.each()))
        .with_max_wait(args.max_wait)
        .with_max_waiting(MAX_WAITING);
    let limiter = sharing::shared(limiter, &args)?;
    let gateway = Arc::new(Gateway::new(access, target, limiter, descriptors, &args));

    writeln!(io::stdout(), "listening on http://{address}")?;
    let near = greet::reachable(address);
    greet::greet(near, &gateway, args.demo);
    tokio::spawn(Arc::clone(&gateway).sample());
    tokio::spawn(jobs::watch(Arc::clone(&gateway))?);
    if args.demo {
        demo::start(near, Arc::clone(&gateway));
    }
    let cut = serve(listener, app(Arc::clone(&gateway)), &gateway).await;
    match cut {
        0 => Ok(ExitCode::SUCCESS),
        cut => {
            say(&format!("calls cut: {cut}; their programs were told"));
            Ok(ExitCode::from(3))
        }
    }
}

/// The bodies of waiting calls are bounded elsewhere. This bounds their connections and tasks, one each for a call.
const MAX_WAITING: usize = 4_096;
