//! Fifty fine-tunes, three at a time, each created once, also if this is killed and started again.
//!
//! ```sh
//! cargo run -p tower-together-jobs --example fine_tunes            # on a stand-in, no key needed
//! TOGETHER_API_KEY=... cargo run -p tower-together-jobs --example fine_tunes -- --count 2 --run mine \
//!     --model meta-llama/Meta-Llama-3.1-8B-Instruct-Reference --training-file file-...
//! ```
#![allow(clippy::print_stdout, reason = "a program")]

mod shared;

use std::{path::PathBuf, pin::pin, process::ExitCode, time::Duration};

use clap::Parser;
use http::{Method, Uri};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use together_standin::{Fate, Jobs};
use tower::{BoxError, ServiceExt};
use tower_together::Limiter;
use tower_together_jobs::{FineTunes, JobsApi};

use crate::shared::{Client, Progress, Target, exit};

/// Creates fine-tunes, and waits for them. With TOGETHER_API_KEY they cost money.
///
/// The exit status is 0; 1 if a job did not complete; 2 if it could not work at all.
#[derive(Debug, Parser)]
struct Args {
    /// How many
    #[arg(long, default_value_t = 50)]
    count: usize,

    /// Name of the run: the same name goes on where it was stopped, another begins anew
    #[arg(long, default_value = "example")]
    run: String,

    /// The model to tune
    #[arg(long, default_value = "standin/chat")]
    model: String,

    /// The file to learn from [default: a small one, uploaded to the stand-in]
    #[arg(long)]
    training_file: Option<String>,

    /// A file to write down in which jobs were created, and which one run at a time has [default: RUN@HOST.jsonl,
    /// and none for the stand-in]
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,

    /// The API's address [default: Together's with TOGETHER_API_KEY, else a stand-in's]
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit(run(Args::parse()).await)
}

async fn run(args: Args) -> Result<bool, BoxError> {
    let jobs = Jobs::default()
        .fine_tunes(3)
        .fine_tune_time(Duration::from_millis(400))
        .fates([
            Fate::Completes,
            Fate::Completes,
            Fate::Restarts,
            Fate::Completes,
            Fate::Fails,
        ]);
    let target = Target::choose(args.base_url, jobs).await?;
    let limiter = Limiter::default();
    let api = target.api(&limiter)?;
    let file = match args.training_file {
        Some(file) => file,
        None if target.quick => upload(&api).await?,
        None => return Err("name a file of yours: --training-file file-...".into()),
    };
    let wanted = (0..args.count).map(|number| {
        let suffix = format!("{}-{number}", args.run);
        json!({"model": args.model, "training_file": file, "suffix": suffix})
    });

    let mut tunes = FineTunes::new(api, limiter);
    if target.quick {
        tunes = tunes.with_settle(Duration::from_millis(300));
    }
    let journal = args.journal.or_else(|| journal(&target, &args.run));
    if let Some(journal) = journal {
        tunes = tunes.with_journal(journal)?;
    }
    let mut progress = Progress::new("fine-tunes", args.count);
    let mut ends = pin!(tunes.run(wanted));
    while let Some(tune) = progress.next(ends.as_mut()).await {
        match tune.result {
            Ok(_) => progress.tally.success(),
            Err(why) => progress
                .tally
                .failure(why.to_string(), &tune.request["suffix"]),
        }
    }
    progress.end();
    let completed = progress.tally.succeeded();
    println!("{completed} of {} completed", args.count);
    Ok(progress.tally.failed() == 0)
}

/// The file of a run's journal: one for each server, since each has jobs of its own.
fn journal(target: &Target, run: &str) -> Option<PathBuf> {
    let base: Uri = target.base.parse().ok()?;
    let host = base.authority().filter(|_| !target.is_stand_in())?;
    let host = host.as_str().replace(':', "_");
    Some(format!("{run}@{host}.jsonl").into())
}

/// The stand-in learns from anything.
async fn upload(api: &JobsApi<Client>) -> Result<String, BoxError> {
    let form = "--cut\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n\
                --cut\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n\
                {\"text\":\"hello\"}\r\n--cut--\r\n";
    let request = api
        .request(Method::POST, "files/upload")
        .header("content-type", "multipart/form-data; boundary=cut")
        .body(form.into())?;
    let response = api.get_ref().clone().oneshot(request).await?;
    let body = response.into_body().collect().await?.to_bytes();
    let file: Value = serde_json::from_slice(&body)?;
    Ok(file["id"].as_str().ok_or("no file was made")?.to_owned())
}
