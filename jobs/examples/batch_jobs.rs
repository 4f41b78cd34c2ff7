//! Two and a half thousand chat requests as batches, at half the price of live calls.
//!
//! ```sh
//! cargo run -p tower-together-jobs --example batch_jobs            # on a stand-in, no key needed
//! TOGETHER_API_KEY=... cargo run -p tower-together-jobs --example batch_jobs -- requests.jsonl
//! ```
//!
//! `requests.jsonl` holds bodies of `POST /chat/completions`, one a line. What comes of each is a line of
//! `answers.jsonl`. The same command sends again what has no line there, and nothing else. A batch that is under way
//! when this is killed goes on: its id is in a journal, and the same command waits for it.
#![allow(clippy::print_stdout, reason = "a program")]

mod shared;

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, BufRead, BufReader},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use together_standin::{Fate, Jobs};
use tower::BoxError;
use tower_together::Limiter;
use tower_together_jobs::{Batches, Missing, Reason, Results};

use crate::shared::{Progress, Target, exit, say};

/// Runs chat requests as batches. With TOGETHER_API_KEY they cost money.
///
/// The exit status is 0; 1 if a request has no response; 2 if it could not work at all.
#[derive(Debug, Parser)]
struct Args {
    /// A file of requests, one a line [default: 2,500 of our own, for the stand-in]
    #[arg(value_name = "FILE")]
    requests: Option<PathBuf>,

    /// File for the responses, one a line. A request that has its line there is not sent again: the same command
    /// sends the others. A request whose line in the batch's file cannot be read has a line too
    #[arg(long, value_name = "FILE", default_value = "answers.jsonl")]
    answers: PathBuf,

    /// A file to write down in which batches are under way [default: that of the responses with .journal behind its
    /// name, and none for the stand-in]
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,

    /// Delete the responses that are there, with the first new one, and forget the batches that are under way
    #[arg(long)]
    restart: bool,

    /// Requests in a batch
    #[arg(long, value_name = "N", default_value = "100")]
    size: NonZeroUsize,

    /// The API's address [default: Together's with TOGETHER_API_KEY, else a stand-in's]
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
}

/// A line of the file of responses.
#[derive(Serialize, Deserialize)]
struct Line {
    from: String,
    request: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    /// Why it may have been done.
    #[serde(skip_serializing_if = "Option::is_none")]
    uncertain: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit(run(Args::parse()).await)
}

async fn run(args: Args) -> Result<bool, BoxError> {
    let requests = match &args.requests {
        Some(path) => read(path)?,
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
    let target = Target::choose(args.base_url.clone(), jobs).await?;
    if args.requests.is_none() && !target.quick {
        return Err("name a file of requests: our own are for the stand-in".into());
    }
    let from = match target.is_stand_in() {
        true => "the stand-in",
        false => &target.base,
    };
    let (mut results, uncertain) = open_responses(&args, from, target.is_stand_in())?;

    let all = requests.len();
    let mut progress = Progress::new("requests", all);
    let (mut seen, mut open, mut to_look_for) = (HashMap::new(), Vec::new(), 0);
    for (number, request) in (1..).zip(requests) {
        let key = key(&request, &mut seen);
        if results.claim(&key) {
            open.push((number, key, request));
        } else {
            progress.tally.known();
            to_look_for += u64::from(uncertain.contains(&key));
        }
    }
    let stop = Cell::new(false);
    let mut batches = Batches::new(target.api(&Limiter::default())?).with_size(args.size);
    let journal = match target.is_stand_in() {
        true => None,
        false => Some(journal(&args)?),
    };
    if let Some(journal) = &journal {
        batches = batches.with_journal(journal)?;
    }
    let mut to_find = 0;
    let wanted = open.iter().map(|(_, _, request)| request.clone());
    let mut outcomes = pin!(batches.run(wanted.take_while(|_| !stop.get())));
    while let Some(outcome) = progress.next(outcomes.as_mut()).await {
        let (number, key, request) = &open[outcome.index];
        let (response, uncertain) = match outcome.result {
            Ok(response) => {
                progress.tally.success();
                (Some(response), None)
            }
            Err(Missing { reason, .. }) => {
                let name = format!("request {number}");
                progress.tally.failure(reason.kind(), name);
                stop.set(stop.get() || reason.concerns_all());
                let is_open = matches!(reason, Reason::MayExist { .. } | Reason::Lost { .. });
                to_find += u64::from(is_open);
                // The batches that are not over are in the journal, and the same command looks for them again.
                let is_uncertain = reason.may_be_done() && !(is_open && journal.is_some());
                (None, is_uncertain.then(|| reason.to_string()))
            }
        };
        if response.is_some() || uncertain.is_some() {
            let line = Line {
                from: from.to_owned(),
                request: request.clone(),
                answer: response,
                uncertain,
            };
            results.write(key, &line)?;
        }
    }
    results.sync()?;
    progress.end();
    let path = args.answers.display();
    if to_look_for > 0 {
        say(&format!(
            "{to_look_for} requests may have been done before, see `uncertain` in {path}: they are not sent \
             again unless you delete these lines"
        ));
    }
    let succeeded = progress.tally.done() - progress.tally.failed() - to_look_for;
    let whole = succeeded == all as u64;
    if stop.get() {
        say(
            "ended early, for it would fail for all; once that is put right, the same command continues",
        );
    } else if !whole {
        say("the same command retries what failed");
    }
    if let Some(journal) = journal.filter(|_| to_find > 0) {
        say(&format!(
            "{to_find} requests may be in batches that cannot be found or read: the same command looks for them again. \
             If there are none, delete {}",
            journal.display()
        ));
    }
    println!("{succeeded} of {all} have a response, in {path}");
    Ok(whole)
}

/// Opens the file of responses, which are of one server, and finds the uncertain lines. The stand-in's responses are
/// a demonstration's, and begin anew each time.
fn open_responses(args: &Args, from: &str, anew: bool) -> io::Result<(Results, HashSet<Key>)> {
    let (mut seen, mut uncertain) = (HashMap::new(), HashSet::new());
    if args.restart {
        return Ok((Results::restart(&args.answers)?, uncertain));
    }
    let results = Results::open(&args.answers, |line: Line| {
        if line.from != from {
            return Err(format!(
                "a response of {}, and not of {from}: name another file with --answers, or delete what is there \
                 with --restart",
                line.from
            ));
        }
        let key = key(&line.request, &mut seen);
        if line.uncertain.is_some() {
            uncertain.insert(key.clone());
        }
        Ok(Some(key))
    })?;
    if anew {
        drop(results);
        return Ok((Results::restart(&args.answers)?, uncertain));
    }
    Ok((results, uncertain))
}

/// The file in which the batches under way are written down, or are to be from now on.
fn journal(args: &Args) -> io::Result<PathBuf> {
    let beside = || {
        let mut name = args.answers.clone().into_os_string();
        name.push(".journal");
        name.into()
    };
    let path = args.journal.clone().unwrap_or_else(beside);
    if args.restart {
        // The file of responses is locked, so that no run goes on with it.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(path)
}

/// A request, and how many like it there are up to it: two that are equal are two.
type Key = (String, u64);

fn key(request: &Value, seen: &mut HashMap<String, u64>) -> Key {
    let text = request.to_string();
    let times = seen.entry(text.clone()).or_default();
    *times += 1;
    (text, *times)
}

/// The requests in a file.
fn read(path: &Path) -> Result<Vec<Value>, BoxError> {
    let at = |error: io::Error| format!("{}: {error}", path.display());
    let lines = BufReader::new(File::open(path).map_err(at)?).lines();
    let mut requests = Vec::new();
    for (number, line) in (1..).zip(lines) {
        let within = |error: String| format!("{}, line {number}: {error}", path.display());
        let line = line.map_err(|error| within(error.to_string()))?;
        if !line.trim().is_empty() {
            let request = serde_json::from_str(&line).map_err(|error| {
                // It counts lines from the start of this one.
                within(
                    error
                        .to_string()
                        .replace(" at line 1 column ", " at column "),
                )
            })?;
            requests.push(request);
        }
    }
    Ok(requests)
}

fn question(number: usize) -> Value {
    let content = format!("What is {number} times {number}?");
    json!({"model": "standin/chat", "messages": [{"role": "user", "content": content}]})
}
