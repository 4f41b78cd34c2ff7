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
//! [`run`], marked *here*. Requests are made as if there were no limits and no failures: each leaves
//! when its turn comes, and again if it has to.
//!
//! | module | what it does |
//! |---|---|
//! | `args` | reads the command line |
//! | `text`, `corpus` | find text, and cut it into passages |
//! | `target` | decides where requests go |
//! | `client` | is the HTTP client, which knows nothing of limits |
//! | `embedder` | makes a request of texts, and vectors of its answer |
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
use tower_together::{Limiter, TogetherLayer};

use crate::{
    args::Args,
    corpus::Corpus,
    embedder::{Embedder, Failure},
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

    let embedder = Embedder::new(service, &target, &args);
    let mut output = Output::open(&args, &corpus, &target)?;
    let mut report = Report::new(&corpus, &output, &target);
    let stop = stop_on_ctrl_c(layer.limiter().clone());

    // `buffered` keeps so many requests under way and yields their answers in order. Most of them
    // wait in the layers; 64 keep up 5 a second as long as an answer takes less than 12 s.
    let mut answers = stream::iter(output.done()..corpus.requests())
        .take_while(|_| ready(!stop.load(Relaxed)))
        .map(|request| embedder.embed(corpus.texts(request)))
        .buffered(args.concurrency.get());
    while let Some(answer) = answers.next().await {
        if let Err(Failure::NotSent) = answer {
            break;
        }
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
