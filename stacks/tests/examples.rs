//! The examples, run as their readers run them: each is a process, over real sockets, without a key.
#![allow(clippy::disallowed_methods, reason = "processes take real time")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// All examples, each with its expected output, line by line.
const EXAMPLES: [(&str, &[&str]); 11] = [
    ("async_openai", PACED),
    ("axum_in", LIMITED),
    ("axum_out", PACED),
    ("hyper", PACED),
    ("hyper_server", LIMITED),
    ("jobs_reqwest", PACED),
    ("layers", PACED),
    ("reqwest", PACED),
    ("reqwest_http", PACED),
    ("reqwest_middleware", PACED),
    ("tonic", PACED),
];

/// Five concurrent calls succeed, all but the first when their turn comes.
const PACED: &[&str] = &["200 OK", HELD, HELD, HELD, HELD];
const HELD: &str = "200 OK, held back for ";
/// The time between two turns.
const INTERVAL: Duration = Duration::from_millis(100);

/// The second call with the first one's key is too early.
const LIMITED: &[&str] = &["200 OK", "429 Too Many Requests", "200 OK"];

/// This test is in target/PROFILE/deps, and `cargo test` builds the examples beside that.
fn example(name: &str) -> Command {
    let deps = std::env::current_exe().unwrap();
    let profile = deps.parent().and_then(Path::parent).unwrap();
    let path = profile.join("examples").join(name);
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        path.exists(),
        "build it first: cargo build -p tower-together-stacks --examples"
    );
    Command::new(path)
}

fn says(name: &str, output: &Output, took: Duration, expected: &[&str]) {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{name}: {stdout}{stderr}");
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{name}: {stdout}{stderr}");
    for (number, (line, expected)) in (0..).zip(lines.iter().zip(expected)) {
        // A slow program makes a request after its turn, so that the request is not held back.
        let is_late = *expected == HELD && *line == "200 OK" && took >= INTERVAL * number;
        assert!(line.starts_with(expected) || is_late, "{name}: {stdout}");
    }
    assert_eq!(stderr, "", "{name}");
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

#[test]
fn every_example_runs_to_its_end_without_a_key() {
    // All run at once, because they mostly wait.
    let running = EXAMPLES.map(|(name, expected)| {
        thread::spawn(move || {
            let mut command = example(name);
            let command = command.env_remove("TOGETHER_API_KEY");
            let command = command.stdin(Stdio::null());
            let since = Instant::now();
            let output = command.output().unwrap();
            says(name, &output, since.elapsed(), expected);
        })
    });
    for example in running {
        example.join().unwrap();
    }
}

#[test]
fn every_example_is_run_and_has_under_40_lines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let entries = fs::read_dir(folder).unwrap();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let files = paths.iter().filter(|path| path.is_file());
    let mut names: Vec<_> = files.map(|path| path.file_stem().unwrap()).collect();
    names.sort();
    assert_eq!(names, EXAMPLES.map(|(name, _)| name));
    for path in paths.iter().filter(|path| path.is_file()) {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().count();
        assert!(lines < 40, "{}: {lines} lines", path.display());
        assert!(text.starts_with("//! "), "{}", path.display());
    }
}
