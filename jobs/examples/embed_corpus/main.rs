//! Embeds a lot of text over real sockets: as fast as the rate limit allows, and no faster.
//!
//! ```sh
//! # This repository's text, without a key:
//! cargo run --release -p tower-together-jobs --example embed_corpus
//! # Your own text and key:
//! TOGETHER_API_KEY=... cargo run --release -p tower-together-jobs --example embed_corpus -- notes/ book.txt
//! ```
//!
//! Flags to try without a key: `--without-limiter` shows the difference, `--chaos` has the stand-in fail in every way
//! and loses no text, and `--moving` moves the limit, which is followed.
//!
//! All that keeps it inside the limits, and brings it through what fails on the way, is one line in
//! [`run`], marked *here*. How many requests are under way, and which of their texts is to blame if one fails, is up
//! to `tower_together_jobs::Corpus`; what has been embedded, and need not be again, to `Results`; how far the run is,
//! and what failed, to `Tally`.
//!
//! | module | what it does |
//! |---|---|
//! | `args` | reads the command line |
//! | `text`, `words`, `passages` | find text, and cut it into passages as it is read |
//! | `target` | decides where requests go |
//! | `client`, `proxy` | is the HTTP client, which knows nothing of limits |
//! | `stop` | ends the run before its time |
//! | `traffic` | counts what was sent, and what arrived |
//! | `output` | is a line of the output |
//! | `report` | the progress bar, the failures and the last line |

mod args;
mod client;
mod output;
mod passages;
#[path = "../shared/proxy.rs"]
mod proxy;
mod report;
mod stop;
mod target;
mod text;
mod traffic;
mod words;

use std::{cell::RefCell, future::ready, io, pin::pin, process::ExitCode};

use clap::Parser;
use futures_util::StreamExt;
use tokio::{select, time::interval};
use tower::{BoxError, Layer};
use tower_together::{TogetherLayer, limiter::Reason};
use tower_together_jobs::{Corpus, Results};

use crate::{
    args::Args,
    output::Line,
    passages::{PER_REQUEST, Passage, Passages},
    report::{BETWEEN_LINES, RunReport, say},
    stop::Stop,
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
    let corpus = Passages::find(&args)?;
    let target = Target::choose(&args).await?;
    let http = client::http(target.log.clone(), target.how(&args));

    let layer = TogetherLayer::default();
    let service = if args.without_limiter {
        client::whole(http, target.how(&args))
    } else {
        client::whole(layer.layer(http), target.how(&args)) // <- here
    };

    let api = target.api.over(service);
    let results = output::open(&args, &corpus, &target).await?;
    let report = RefCell::new(RunReport::new(&corpus, &results, &target));
    let results = RefCell::new(results);
    let stop = Stop::new(layer.limiter().clone(), report.borrow().bar());

    let passages = corpus.passages().take_until(stop.told());
    let texts = passages.filter_map(|passage| ready(open(passage, &results, &report)));
    let requests = Corpus::new(api)
        .with_texts_per_request(PER_REQUEST.try_into()?)
        .with_max_in_flight(args.concurrency)
        .with_resubmits(if args.without_limiter { 0 } else { RESUBMITS });
    let mut items = pin!(requests.embed(&args.model, texts));
    let mut lines = interval(BETWEEN_LINES);
    lines.tick().await;
    loop {
        let item = select! {
            item = items.next() => item,
            _ = lines.tick() => {
                report.borrow().tick();
                continue;
            }
        };
        let Some(item) = item else { break };
        match item.result {
            Ok(vector) => {
                let line = Line {
                    source: &item.id,
                    text: &item.input,
                    model: &args.model,
                    from: &target.name,
                    embedding: &vector,
                };
                results.borrow_mut().write(&item.input, &line)?;
                report.borrow_mut().success();
            }
            // It was not sent, for the run ends.
            Err(failure) if failure.rejected() == Some(Reason::Closed) => {}
            Err(failure) => {
                report.borrow_mut().failure(&item.id, &failure);
                if failure.concerns_all() || report.borrow().heard_nothing(&failure) {
                    stop.early(&failure);
                }
            }
        }
    }
    results.borrow().sync()?;
    let report = report.borrow();
    report.end(&args, &corpus, &target)?;
    Ok(stop.end(report.all_succeeded()))
}

/// A passage, if it is to be embedded.
fn open(
    passage: io::Result<Passage>,
    results: &RefCell<Results>,
    report: &RefCell<RunReport>,
) -> Option<Passage> {
    match passage {
        Ok((_, text)) if !results.borrow_mut().claim(&text) => {
            report.borrow_mut().known();
            None
        }
        Ok(passage) => Some(passage),
        Err(error) => {
            report.borrow_mut().unreadable(&error);
            None
        }
    }
}

/// How often a request is made anew that the layers gave up on, every 5 s: together they outlast an outage
/// of a minute and a half.
const RESUBMITS: u32 = 8;
