//! Embeds a lot of text over real sockets: as fast as the rate limit allows, and no faster.
//!
//! ```sh
//! cargo run --release --example embed_corpus            # this repository's text, no key needed
//! cargo run --release --example embed_corpus -- --without-limiter        # to see the difference
//! cargo run --release --example embed_corpus -- --chaos    # every failure there is, and no text lost
//! cargo run --release --example embed_corpus -- --moving   # a limit that moves, and is followed
//! TOGETHER_API_KEY=... cargo run --release --example embed_corpus -- notes/ book.txt
//! ```
//!
//! All that keeps it inside the limits, and brings it through what fails on the way, is one line in
//! [`run`], marked *here*. How many requests are under way, and in which order their answers come, is up
//! to `tower_together_jobs::Corpus`.
//!
//! | module | what it does |
//! |---|---|
//! | `args` | reads the command line |
//! | `text`, `corpus` | find text, and cut it into passages |
//! | `target` | decides where requests go |
//! | `client` | is the HTTP client, which knows nothing of limits |
//! | `embedder` | makes a request of texts |
//! | `traffic` | counts what was sent, and what arrived |
//! | `output` | writes vectors in order, and continues where a run stopped |
//! | `report` | the progress bar, the failures and the last line |

mod args;
mod client;
mod corpus;
mod embedder;
mod output;
mod report;
mod target;
mod text;
mod traffic;

use std::{
    future::ready,
    pin::pin,
    process::{ExitCode, exit},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use clap::Parser;
use futures::{StreamExt, stream};
use tokio::signal::ctrl_c;
use tower::{BoxError, Layer};
use tower_together::{Limiter, TogetherLayer, limiter::Reason};
use tower_together_jobs::{Corpus as Requests, Failure, vectors};

use crate::{
    args::Args,
    corpus::Corpus,
    output::Output,
    report::{Report, say},
    target::Target,
};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {}", client::with_causes(&*error)));
            ExitCode::from(2)
        }
    }
}

async fn run(args: Args) -> Result<ExitCode, BoxError> {
    let corpus = Corpus::new(&args)?;
    let target = Target::choose(&args).await?;
    let http = client::http(target.log.clone(), target.how(&args));

    let layer = TogetherLayer::default();
    let service = if args.without_limiter {
        client::whole(http, target.how(&args))
    } else {
        client::whole(layer.layer(http), target.how(&args)) // <- here
    };

    let api = target.api.over(service);
    let mut output = Output::open(&args, &corpus, &target)?;
    let mut report = Report::new(&corpus, &output, &target);
    let stop = stop_on_ctrl_c(layer.limiter().clone());

    let requests = stream::iter(output.done()..corpus.requests())
        .take_while(|_| ready(!stop.load(Relaxed)))
        .map(|request| {
            let texts = corpus.texts(request);
            (request, embedder::request(&target.api, &args.model, &texts))
        });
    let mut answers = pin!(
        Requests::new(api)
            .ordered()
            .with_most(args.concurrency)
            .with_resubmits(if args.without_limiter { 0 } else { RESUBMITS })
            .run(requests)
    );
    while let Some(item) = answers.next().await {
        let rejected = item.result.as_ref().err().and_then(Failure::rejected);
        if rejected == Some(Reason::Closed) {
            break;
        }
        let texts = corpus.range(item.id).len();
        let answer = item.result.and_then(|answer| vectors(answer.body(), texts));
        let answer = answer.map_err(|failure| failure.to_string());
        let request = output.write(&corpus, &answer)?;
        report.answered(request, &corpus, answer);
    }

    let finished = output.done() == corpus.requests();
    if finished {
        output.finish()?;
    }
    report.end(&args, &target, &output, finished)?;
    Ok(match (finished, report.all_succeeded()) {
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::FAILURE,
        // What shells say of a program that Ctrl-C ended.
        (false, _) => ExitCode::from(130),
    })
}

/// How often a request is made anew that the layers gave up on, every 5 s: together they outlast an outage
/// of a minute and a half.
const RESUBMITS: u32 = 8;

/// Ctrl-C closes the limiter: who waits there is told at once, and what was sent is answered and
/// written. Pressed again, it ends the program where it stands; even then nothing written is lost.
fn stop_on_ctrl_c(limiter: Limiter) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    tokio::spawn(async move {
        if ctrl_c().await.is_ok() {
            told.store(true, Relaxed);
            limiter.close();
            if ctrl_c().await.is_ok() {
                exit(130);
            }
        }
    });
    stop
}
