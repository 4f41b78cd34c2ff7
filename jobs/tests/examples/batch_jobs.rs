//! `batch_jobs`: its progress, its results, and a run that continues an earlier one.

use std::fs;

use together_standin::{Answer, Fate};

use super::{folder, lines, requests, run, server};

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

/// `batch_jobs missing.jsonl`, the way to resume, cut 2,200 responses to 300.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_retries_what_has_no_response_and_nothing_else() {
    let folder = folder("batch-again");
    requests(&folder, 100);
    let (server, url) = server(&[Fate::Completes, Fate::Expires, Fate::Completes]).await;
    let arguments = ["--base-url", &url, "--size", "40", "requests.jsonl"];
    let first = run(&folder, "batch_jobs", &arguments);
    assert_eq!(first.code, Some(1), "{first:?}");
    assert!(
        first.progress.contains("the same command retries"),
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
async fn a_request_that_may_have_been_done_is_not_retried() {
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
