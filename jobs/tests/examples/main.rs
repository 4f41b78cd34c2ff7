//! The examples, as their users run them: processes, with and without a server.

mod batch_jobs;
mod fine_tunes;
mod killed;

use std::{
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
            second.progress.contains("another run is writing it"),
            "{second:?}"
        );
        first.kill().unwrap();
        first.wait().unwrap();
    }
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
