//! The examples, as their users run them: processes, with and without a server.

use std::{
    cell::Cell,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use testing::until;
use together_standin::{Answer, Fate, Jobs, StandIn};

/// A folder of its own for each test.
fn folder(test: &str) -> PathBuf {
    let name = format!("tower-together-{test}-{}", std::process::id());
    let folder = env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// An example, in a folder.
fn example(folder: &Path, name: &str, arguments: &[&str]) -> Command {
    let tests = env::current_exe().unwrap();
    let target = tests.parent().and_then(|deps| deps.parent()).unwrap();
    // Built beside the tests.
    let mut command = Command::new(target.join("examples").join(name));
    command
        .args(arguments)
        .env_remove("TOGETHER_API_KEY")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .current_dir(folder);
    command
}

/// The output of a run at its end, and its exit status.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    said: String,
    progress: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            said: String::from_utf8(output.stdout).unwrap(),
            progress: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn run(folder: &Path, name: &str, arguments: &[&str]) -> Ended {
    example(folder, name, arguments).output().unwrap().into()
}

fn lines(path: impl AsRef<Path>) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

/// A server whose batches take no time, and of which some expire.
async fn server(fates: &[Fate]) -> (StandIn, String) {
    let quick = Duration::from_millis(50);
    let jobs = Jobs::default().batch_time(quick).fine_tune_time(quick);
    let jobs = jobs.fates(fates.iter().copied());
    let server = StandIn::builder().jobs(jobs).start().await.unwrap();
    let url = format!("{}/v1", server.url());
    (server, url)
}

/// A file of so many requests, of which each ten are equal.
fn requests(folder: &Path, count: usize) {
    let line = |number: usize| {
        let messages = json!([{"role": "user", "content": format!("What is {}?", number / 10)}]);
        json!({"model": "standin/chat", "messages": messages}).to_string() + "\n"
    };
    let lines: String = (0..count).map(line).collect();
    fs::write(folder.join("requests.jsonl"), lines).unwrap();
}

#[test]
fn batch_jobs_shows_its_progress_and_groups_what_failed() {
    let folder = folder("batch-own");
    for _ in 0..2 {
        // The stand-in's responses mean nothing, and are written anew.
        let ended = run(&folder, "batch_jobs", &["--size", "250"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        // One batch of four expires with half of its lines.
        assert!(
            ended.said.contains("2250 of 2500 have a response"),
            "{ended:?}"
        );
        assert!(ended.progress.contains("EXPIRED"), "{ended:?}");
        assert!(
            ended.progress.contains("2500 of 2500 requests"),
            "{ended:?}"
        );
        assert_eq!(lines(folder.join("answers.jsonl")).len(), 2_250);
    }
    fs::remove_dir_all(folder).unwrap();
}

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

/// `batch_jobs missing.jsonl`, the way to resume, cut 2,200 responses to 300.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_sends_again_what_has_no_response_and_nothing_else() {
    let folder = folder("batch-again");
    requests(&folder, 100);
    let (server, url) = server(&[Fate::Completes, Fate::Expires, Fate::Completes]).await;
    let arguments = ["--base-url", &url, "--size", "40", "requests.jsonl"];
    let first = run(&folder, "batch_jobs", &arguments);
    assert_eq!(first.code, Some(1), "{first:?}");
    assert!(
        first.progress.contains("the same command sends again"),
        "{first:?}"
    );
    let responses = folder.join("answers.jsonl");
    let text = fs::read_to_string(&responses).unwrap();
    let there = lines(&responses).len();
    assert!(there < 100);

    let second = run(&folder, "batch_jobs", &arguments);
    assert_eq!(second.code, Some(0), "{second:?}");
    assert!(
        second.said.contains("100 of 100 have a response"),
        "{second:?}"
    );
    assert!(fs::read_to_string(&responses).unwrap().starts_with(&text));
    let all = lines(&responses);
    assert_eq!(all.len(), 100);
    for number in 0..10 {
        let content = format!("What is {number}?");
        let like = all
            .iter()
            .filter(|line| line["request"]["messages"][0]["content"] == *content);
        assert_eq!(like.count(), 10, "equal requests have a response each");
    }
    let jobs = server.jobs().len();
    let third = run(&folder, "batch_jobs", &arguments);
    assert_eq!(
        (third.code, server.jobs().len()),
        (Some(0), jobs),
        "{third:?}"
    );
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_batches_that_fails_ends_early_and_deletes_no_response() {
    let folder = folder("batch-denied");
    requests(&folder, 20);
    let (server, url) = server(&[Fate::Completes]).await;
    let arguments = ["--base-url", &url, "--size", "1", "requests.jsonl"];
    assert_eq!(run(&folder, "batch_jobs", &arguments).code, Some(0));
    let responses = folder.join("answers.jsonl");
    let text = fs::read_to_string(&responses).unwrap();

    requests(&folder, 400);
    let denied = Answer::status(401).body(r#"{"error":{"message":"Invalid API key"}}"#);
    server.script("POST", "/files/upload", denied.times(1_000));
    let before = server.stats().arrived;
    for arguments in [
        &arguments[..],
        &["--restart", "--base-url", &url, "requests.jsonl"],
    ] {
        let ended = run(&folder, "batch_jobs", arguments);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            ended
                .progress
                .contains("failed: its file could not be uploaded: 401"),
            "{ended:?}"
        );
        assert!(ended.progress.contains("ended early"), "{ended:?}");
        assert_eq!(fs::read_to_string(&responses).unwrap(), text);
    }
    assert!(server.stats().arrived - before < 50, "it ends early");
    fs::remove_dir_all(folder).unwrap();
}

/// A request that may be in a batch is not sent again unless its line is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_may_have_been_done_is_not_sent_again() {
    let folder = folder("batch-uncertain");
    requests(&folder, 2);
    let (server, url) = server(&[Fate::Completes]).await;
    server.script("POST", "/batches", Answer::status(500));
    let arguments = ["--base-url", &url, "requests.jsonl"];
    let first = run(&folder, "batch_jobs", &arguments);
    assert_eq!(first.code, Some(1), "{first:?}");
    let responses = lines(folder.join("answers.jsonl"));
    assert!(
        responses.iter().all(|line| line["uncertain"].is_string()),
        "{responses:?}"
    );
    let second = run(&folder, "batch_jobs", &arguments);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(
        second
            .progress
            .contains("2 requests may be in batches that cannot be found or read"),
        "{second:?}"
    );
    assert!(second.said.contains("0 of 2 have a response"), "{second:?}");
    assert!(server.jobs().is_empty());
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_of_a_job_example_is_told_of_the_first() {
    let folder = folder("two-runs");
    requests(&folder, 2);
    let (server, url) = server(&[Fate::Completes]).await;
    let silent = || Answer::reset().delay(Duration::from_secs(3_600));
    server.script("POST", "/files/upload", silent());
    server.script("GET", "/fine-tunes", silent());
    let batches = ["--base-url", &url, "requests.jsonl"];
    let tunes = ["--base-url", &url, "--training-file", "file-1"];
    for (name, arguments) in [("batch_jobs", batches.as_slice()), ("fine_tunes", &tunes)] {
        let before = server.stats().arrived;
        let mut first = example(&folder, name, arguments).spawn().unwrap();
        until("the first has sent", async || {
            server.stats().arrived > before
        })
        .await;
        let second = run(&folder, name, arguments);
        assert_eq!(second.code, Some(2), "{name}: {second:?}");
        assert!(
            second.progress.contains("a run that goes on writes it"),
            "{second:?}"
        );
        first.kill().unwrap();
        first.wait().unwrap();
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_of_requests_that_cannot_be_read_is_named_with_its_line() {
    let folder = folder("batch-wrong");
    fs::write(folder.join("wrong.jsonl"), "{}\n\n{\"a\":\n").unwrap();
    for (file, said) in [
        (
            "wrong.jsonl",
            "error: wrong.jsonl, line 3: EOF while parsing a value at column 5",
        ),
        ("nowhere.jsonl", "error: nowhere.jsonl: No such file"),
    ] {
        let ended = run(&folder, "batch_jobs", &[file]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.progress.contains(said), "{ended:?}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn fine_tunes_says_what_became_of_each() {
    let folder = folder("tunes-own");
    let ended = run(&folder, "fine_tunes", &["--count", "10"]);
    assert_eq!((ended.code, &*ended.said), (Some(1), "8 of 10 completed\n"));
    assert!(
        ended.progress.contains("10 of 10 fine-tunes, 2 failed"),
        "{ended:?}"
    );
    fs::remove_dir_all(folder).unwrap();
}

/// It said that its service did not pass through the limiter, and exited with 0.
#[tokio::test(flavor = "multi_thread")]
async fn fine_tunes_go_to_a_base_url_with_a_prefix() {
    let folder = folder("tunes-prefix");
    let (server, _) = server(&[Fate::Completes]).await;
    let url = format!("{}/llm/v1", server.url());
    let job = json!({"id": "ft-1", "status": "completed", "suffix": "example-0"}).to_string();
    for (method, path, body) in [
        ("GET", "/llm/v1/fine-tunes", r#"{"data":[]}"#),
        ("GET", "/llm/v1/batches", r#"{"data":[]}"#),
        ("POST", "/llm/v1/fine-tunes", &job),
        ("GET", "/llm/v1/fine-tunes/ft-1", &job),
    ] {
        server.script(
            method,
            path,
            Answer::status(200).body(body.to_owned()).times(10),
        );
    }
    let arguments = [
        "--base-url",
        &url,
        "--training-file",
        "file-1",
        "--count",
        "1",
    ];
    let ended = run(&folder, "fine_tunes", &arguments);
    assert_eq!(
        (ended.code, &*ended.said),
        (Some(0), "1 of 1 completed\n"),
        "{ended:?}"
    );
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_example_of_which_nothing_succeeded_says_so_in_its_exit_status() {
    let folder = folder("nothing");
    requests(&folder, 2);
    let (server, url) = server(&[Fate::Completes]).await;
    let denied = || {
        let denied = Answer::status(401).body(r#"{"error":{"message":"Invalid API key"}}"#);
        denied.times(100)
    };
    server.script("GET", "/fine-tunes", denied());
    server.script("POST", "/files/upload", denied());
    let batches = ["--base-url", &url, "requests.jsonl"];
    let tunes = [
        "--base-url",
        &url,
        "--training-file",
        "file-1",
        "--count",
        "30",
    ];
    for (name, arguments) in [("batch_jobs", batches.as_slice()), ("fine_tunes", &tunes)] {
        let ended = run(&folder, name, arguments);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.said.starts_with("0 of "), "{ended:?}");
        assert!(ended.progress.lines().count() < 6, "{ended:?}");
    }
    fs::remove_dir_all(folder).unwrap();
}

/// The stand-in takes the place of a proxy: it is asked for whole addresses, and knows their paths.
#[tokio::test(flavor = "multi_thread")]
async fn the_job_examples_go_through_the_proxy_that_the_environment_names() {
    let folder = folder("proxy");
    requests(&folder, 2);
    let (proxy, _) = server(&[Fate::Completes]).await;
    let arguments = ["--base-url", "http://api.example/v1", "requests.jsonl"];
    let mut command = example(&folder, "batch_jobs", &arguments);
    let ended = Ended::from(command.env("all_proxy", proxy.url()).output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(proxy.jobs().len(), 1);
    fs::remove_dir_all(folder).unwrap();
}
