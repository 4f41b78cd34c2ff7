//! `fine_tunes`: what it says of each, and its base URL.

use std::fs;

use serde_json::json;
use together_standin::{Answer, Fate};

use super::{folder, run, server};

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
