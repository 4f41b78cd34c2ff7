//! `batch_jobs`, killed while it runs.

use std::{cell::Cell, fs, path::Path, time::Duration};

use testing::until;
use together_standin::{Fate, Jobs, StandIn};

use super::{example, folder, lines, requests, run};

/// Batches under way when the program was killed were sent again, and paid for twice.
#[tokio::test(flavor = "multi_thread")]
async fn batches_under_way_when_batch_jobs_was_killed_are_awaited_by_the_same_command() {
    let folder = folder("batch-killed");
    requests(&folder, 100);
    let jobs = Jobs::default().batch_time(Duration::from_secs(2));
    let fates = [Fate::Completes, Fate::Completes, Fate::Expires];
    let jobs = jobs.fates(fates.into_iter().chain([Fate::Completes; 17]));
    let server = StandIn::builder().jobs(jobs).start().await.unwrap();
    let url = format!("{}/v1", server.url());
    let arguments = ["--base-url", &url, "--size", "20", "requests.jsonl"];
    kill_once(&server, &folder, &arguments, || {
        let asked = server.stats().others;
        let is_of_a_batch = |path: &&String| path.starts_with("GET /batches/");
        asked.keys().filter(is_of_a_batch).count() == 5
    })
    .await;
    assert!(lines(folder.join("answers.jsonl")).is_empty());

    // A request that is new changes nothing for the others.
    let text = fs::read_to_string(folder.join("requests.jsonl")).unwrap();
    let new = r#"{"model":"standin/chat","messages":[]}"#;
    fs::write(folder.join("requests.jsonl"), format!("{new}\n{text}")).unwrap();
    let second = run(&folder, "batch_jobs", &arguments);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(
        second.said.contains("91 of 101 have a response"),
        "{second:?}"
    );
    assert!(second.progress.contains("EXPIRED"), "{second:?}");
    assert_eq!(server.jobs().len(), 6);
    // Their ids are in the journal: none was looked for.
    assert!(!server.stats().others.contains_key("GET /batches"));
    let third = run(&folder, "batch_jobs", &arguments);
    assert_eq!(third.code, Some(0), "{third:?}");
    assert_eq!(server.jobs().len(), 7);

    let anew = run(
        &folder,
        "batch_jobs",
        &[&["--restart"], &arguments[..]].concat(),
    );
    assert_eq!(anew.code, Some(0), "{anew:?}");
    assert_eq!(server.jobs().len(), 13);
    fs::remove_dir_all(folder).unwrap();
}

/// A batch whose create may have been sent is found by its file, or is looked for again.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_batch_jobs_sends_no_request_twice() {
    let folder = folder("batch-killed-any");
    requests(&folder, 100);
    let delay = Duration::from_millis(60);
    let jobs = Jobs::default().batch_time(Duration::from_millis(600));
    let jobs = jobs.create_delays(delay, delay);
    let server = StandIn::builder().jobs(jobs).start().await.unwrap();
    let url = format!("{}/v1", server.url());
    let arguments = ["--base-url", &url, "--size", "20", "requests.jsonl"];
    // While files are uploaded, while batches are created, while they run, while responses are read.
    for more in [2, 7, 12, 16, 30] {
        let arrived = server.stats().arrived + more;
        let is_time = || server.stats().arrived >= arrived || server.jobs().len() == 5;
        kill_once(&server, &folder, &arguments, is_time).await;
    }
    let last = run(&folder, "batch_jobs", &arguments);
    let lines = lines(folder.join("answers.jsonl"));
    assert!(lines.iter().all(|line| line["uncertain"].is_null()));
    assert_eq!(server.jobs().len() * 20, lines.len(), "{last:?}");
    let whole = lines.len() == 100;
    assert_eq!(last.code, Some(i32::from(!whole)), "{last:?}");
    assert_eq!(
        whole,
        !last.progress.contains("looks for them again"),
        "{last:?}"
    );
    fs::remove_dir_all(folder).unwrap();
}

/// Runs `batch_jobs`, and kills it when it is time, if it has not ended by then.
async fn kill_once(
    server: &StandIn,
    folder: &Path,
    arguments: &[&str],
    is_time: impl Fn() -> bool,
) {
    let mut run = example(folder, "batch_jobs", arguments).spawn().unwrap();
    let watched = Cell::new(Some(&mut run));
    until("it is time", async || {
        let run = watched.take().unwrap();
        let ended = run.try_wait().unwrap().is_some();
        watched.set(Some(run));
        ended || is_time()
    })
    .await;
    run.kill().unwrap();
    run.wait().unwrap();
    until("all it has sent has arrived", async || {
        server.connections() == 0
    })
    .await;
}
