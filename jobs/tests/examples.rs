//! The examples, as a newcomer runs them: without a key.

use std::{env, fs, path::PathBuf, process::Command};

/// Runs one to its end in a folder of its own, and gives what it says at last.
fn run(name: &str, arguments: &[&str]) -> (PathBuf, String) {
    let tests = env::current_exe().unwrap();
    let target = tests.parent().and_then(|deps| deps.parent()).unwrap();
    let folder = env::temp_dir().join(format!("tower-together-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    // Built beside the tests.
    let output = Command::new(target.join("examples").join(name))
        .args(arguments)
        .env_remove("TOGETHER_API_KEY")
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let progress = String::from_utf8(output.stderr).unwrap();
    assert!(
        progress.contains(" of "),
        "without a screen lines tell of progress: {progress}"
    );
    (folder, String::from_utf8(output.stdout).unwrap())
}

#[test]
fn batch_jobs_answers_in_order_and_names_what_is_missing() {
    let (folder, said) = run("batch_jobs", &["--size", "250"]);
    // One batch of four expires with half of its lines.
    assert!(said.contains("2250 of 2500 answered"), "{said}");
    assert!(said.contains("EXPIRED"), "{said}");
    let lines = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let answers = lines("answers.jsonl");
    let index = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["index"].as_u64().unwrap()
    };
    let order: Vec<u64> = answers.lines().map(index).collect();
    assert!(order.len() == 2_250 && order.is_sorted());
    assert_eq!(lines("missing.jsonl").lines().count(), 250);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn fine_tunes_says_what_became_of_each() {
    let (folder, said) = run("fine_tunes", &["--count", "10"]);
    assert_eq!(said, "8 of 10 completed\n");
    fs::remove_dir_all(folder).unwrap();
}
