//! Two and a half thousand chat requests as batches, at half the price of live calls.
//!
//! ```sh
//! cargo run -p tower-together-jobs --example batch_jobs            # on a stand-in, no key needed
//! TOGETHER_API_KEY=... cargo run -p tower-together-jobs --example batch_jobs -- requests.jsonl
//! ```
//!
//! `requests.jsonl` holds bodies of `POST /chat/completions`, one a line. What comes of them goes to
//! `answers.jsonl`, in their order; those without an answer to `missing.jsonl`, to be sent again.
#![allow(clippy::print_stdout, reason = "a program")]

mod shared;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufWriter, Write as _},
    num::NonZeroUsize,
    path::PathBuf,
    pin::pin,
    time::Duration,
};

use clap::Parser;
use futures_util::StreamExt;
use serde_json::{Value, json};
use together_standin::{Fate, Jobs};
use tower::BoxError;
use tower_together::Limiter;
use tower_together_jobs::Batches;

use crate::shared::{Target, bar, step};

/// Has chat requests answered as batches. With TOGETHER_API_KEY they cost money.
#[derive(Debug, Parser)]
struct Args {
    /// A file of requests, one a line [default: 2,500 of our own, for the stand-in]
    #[arg(value_name = "FILE")]
    requests: Option<PathBuf>,

    /// Where the answers go, one a line
    #[arg(long, value_name = "FILE", default_value = "answers.jsonl")]
    answers: PathBuf,

    /// Where the requests go that have no answer, one a line
    #[arg(long, value_name = "FILE", default_value = "missing.jsonl")]
    missing: PathBuf,

    /// Requests in a batch
    #[arg(long, value_name = "N", default_value = "100")]
    size: NonZeroUsize,

    /// The API's address [default: Together's with TOGETHER_API_KEY, else a stand-in's]
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let requests: Vec<Value> = match &args.requests {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            let lines = text.lines().map(serde_json::from_str);
            lines.collect::<Result<_, _>>()?
        }
        None => (0..2_500).map(question).collect(),
    };
    let jobs = Jobs::default()
        .batches(10)
        .batch_time(Duration::from_secs(1))
        .fates([
            Fate::Completes,
            Fate::Completes,
            Fate::Completes,
            Fate::Expires,
        ]);
    let target = Target::choose(args.base_url, jobs).await?;
    if args.requests.is_none() && !target.quick {
        return Err("name a file of requests: our own are for the stand-in".into());
    }

    let bar = bar(requests.len());
    let mut answers = BufWriter::new(File::create(&args.answers)?);
    let mut missing = BufWriter::new(File::create(&args.missing)?);
    let (mut answered, all) = (0, requests.len());
    let mut reasons = BTreeSet::new();
    let batches = Batches::new(target.api(&Limiter::default())?).with_size(args.size);
    let mut outcomes = pin!(batches.run(requests));
    while let Some(outcome) = outcomes.next().await {
        step(&bar);
        match outcome.result {
            Ok(answer) => {
                answered += 1;
                writeln!(
                    answers,
                    "{}",
                    json!({"index": outcome.index, "answer": answer})
                )?;
            }
            Err(why) => {
                reasons.insert(why.to_string());
                writeln!(missing, "{}", why.request)?;
            }
        }
    }
    answers.flush()?;
    missing.flush()?;
    bar.finish_and_clear();
    for why in reasons {
        println!("{why}");
    }
    let (answers, missing) = (args.answers.display(), args.missing.display());
    println!("{answered} of {all} answered, in {answers}; the others are in {missing}");
    Ok(())
}

fn question(number: usize) -> Value {
    let content = format!("What is {number} times {number}?");
    json!({"model": "standin/chat", "messages": [{"role": "user", "content": content}]})
}
