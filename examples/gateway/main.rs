//! A gateway: many programs, one key, one set of limits.
//!
//! ```sh
//! cargo run --release --example gateway                 # no key needed; says what to try
//! cargo run --release --example gateway -- --demo       # with traffic to look at
//! TOGETHER_API_KEY=... cargo run --release --example gateway
//! TOGETHER_API_KEY=... GATEWAY_TOKENS=tom=TOKEN,ann=ANOTHER cargo run --release --example gateway -- \
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
//! - A fine-tune or a batch keeps its slot until it has ended, whether or not its program asks what became
//!   of it: the gateway does, while another waits.
//! - Answers stream through as they come. Requests are read before they get in line, into memory that
//!   is bounded (`--body-memory`); one that is longer than an eighth of it waits on disk (`--body-disk`), or
//!   streams by where no limit applies, as an upload does.
//! - A program that hangs up leaves the queue, and its slot is free: hyper drops what was working for
//!   it, and the layers give back what that held.
//! - A stream whose first byte does not come in time (`--first-byte`) is ended, and its slot is free.
//! - What cannot leave in time is refused at once, with a 429 and a `Retry-After` that SDKs obey.
//! - A call has one time limit, its program's own if it says so, and what exceeds it is not sent
//!   again: it would be paid for again.
//! - The gateway has retried what makes sense: a failed call's response then carries `x-should-retry: false`, so
//!   that SDKs do not multiply the retries.
//! - A restart loses no call: SIGTERM rejects queued calls with 503 and a `Retry-After`, which SDKs obey, and
//!   gives calls in flight `--grace` seconds. A call that is cut gets an error in the shape of its stream.
//! - An outage is seen: the page turns red and says since when and with which error, and the log has a line for
//!   it, beside one for each call.
//! - One TOML file (`--config`) holds limits, by endpoint and by model, and the names and tokens of programs.
//! - No credential passes in either direction: of a request's headers only those that are known to
//!   hold none, and in answers, whatever their length, the key is covered.
//! - Websockets do not pass, and are told so: the two realtime routes of the API need a connection of their own.
//! - `/healthz` and `/readyz` are for orchestrators, and need no token.
//!
//! The line that does it is in [`client::sender`], marked *here*.
//!
//! | module | what it does |
//! |---|---|
//! | `args`, `config`, `limits`, `target`, `greet` | read the command line, decide where calls go, and say what to do |
//! | `serve`, `shutdown`, `connection`, `descriptors`, `access`, `tokens`, `credentials`, `cors`, `refusal` | let programs in, or not |
//! | `app`, `forward`, `respond`, `cut` | take a call to the API and its answer back |
//! | `body`, `ahead`, `disk`, `path`, `headers`, `patience` | what of it counts, and goes on |
//! | `key`, `mask`, `masked`, `refused`, `rejection`, `error` | what of an answer does |
//! | `client` | the layer, and the HTTP client behind it |
//! | `jobs` | looks after the jobs that run |
//! | `traffic`, `history` | count what is open, and remember what was |
//! | `record`, `monitor`, `log` | follow each call, count what came of it, and log it |
//! | `outage`, `waits`, `programs` | what is counted: failures in a row, waits, calls of each program |
//! | `windows` | what is left of a limit |
//! | `lanes`, `page`, `metrics`, `outcomes`, `exposition` | show it |
//! | `demo` | makes up programs |

mod access;
mod ahead;
mod app;
mod args;
mod body;
mod client;
mod config;
mod connection;
mod cors;
mod credentials;
mod cut;
mod demo;
mod descriptors;
mod disk;
mod error;
mod exposition;
mod forward;
mod greet;
mod headers;
mod history;
mod jobs;
mod key;
mod lanes;
mod limits;
mod log;
mod mask;
mod masked;
mod metrics;
mod monitor;
mod outage;
mod outcomes;
mod page;
mod path;
mod patience;
mod programs;
mod record;
mod refusal;
mod refused;
mod rejection;
mod respond;
mod serve;
mod shutdown;
mod target;
mod tokens;
mod traffic;
mod waits;
mod windows;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use tokio::net::TcpListener;
use tower::BoxError;
use tower_together::Limiter;

use crate::{
    access::Access,
    app::{Gateway, app},
    args::Args,
    config::Config,
    descriptors::Descriptors,
    serve::serve,
    target::Target,
    tokens::Tokens,
};

#[tokio::main]
async fn main() -> ExitCode {
    let run = async {
        let (args, config) = config::args()?;
        run(args, config).await
    };
    match run.await {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {}", client::with_causes(&*error)));
            ExitCode::from(2)
        }
    }
}

async fn run(args: Args, config: Config) -> Result<ExitCode, BoxError> {
    let mut tokens = Tokens::from_env()?;
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
    let gateway = Arc::new(Gateway::new(access, target, limiter, descriptors, &args));

    writeln!(io::stdout(), "listening on http://{address}")?;
    let near = greet::reachable(address);
    greet::greet(near, &gateway, args.demo);
    tokio::spawn(history::sample(Arc::clone(&gateway)));
    tokio::spawn(jobs::watch(Arc::clone(&gateway))?);
    if args.demo {
        demo::start(near, Arc::clone(&gateway));
    }
    let cut = serve(listener, app(Arc::clone(&gateway)), &gateway).await;
    gateway.monitor.log.flush();
    match cut {
        0 => Ok(ExitCode::SUCCESS),
        cut => {
            say(&format!("calls cut: {cut}; their programs were told"));
            Ok(ExitCode::from(3))
        }
    }
}

/// Writes a line to standard error; there is nobody to tell if that fails.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Their bodies are bounded elsewhere; this is a connection and a task each.
const MAX_WAITING: usize = 4_096;
