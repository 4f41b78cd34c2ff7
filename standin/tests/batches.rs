//! Batches: their files, and how they live.

mod common;

use common::jobs::{SECOND, batch, line, lines, server, upload};
use serde_json::json;
use together_standin::Jobs;
use tokio::time::advance;

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_result_for_each_of_its_lines_in_some_order() {
    let (server, caller) = server(Jobs::default()).await;
    let content = line("1", "m") + &line("2", "unknown") + "\n" + &line("3", "m");
    let file = upload(&server, "batch-api", &content).await;
    let created = batch(&caller, &file).await;
    assert_eq!(created.status, 201);
    let job = created.json()["job"].clone();
    assert_eq!(job["status"], "VALIDATING");
    let path = format!("/v1/batches/{}", job["id"].as_str().unwrap());
    advance(50 * SECOND).await;
    let half = caller.get(&path).await.json();
    assert_eq!(
        (&half["status"], &half["progress"]),
        (&json!("IN_PROGRESS"), &json!(50))
    );
    assert!(half["output_file_id"].is_null());
    advance(50 * SECOND).await;
    let done = caller.get(&path).await.json();
    assert_eq!(done["status"], "COMPLETED");
    let content = |name: &str| format!("/v1/files/{}/content", done[name].as_str().unwrap());
    let output = lines(&caller.get(&content("output_file_id")).await);
    let ids: Vec<_> = output
        .iter()
        .map(|line| line["custom_id"].clone())
        .collect();
    assert_eq!(ids, ["3", "1"]);
    assert_eq!(output[0]["response"]["status_code"], 200);
    let said = &output[0]["response"]["body"]["choices"][0]["message"]["content"];
    assert_eq!(said, "This is the stand-in speaking.");
    let errors = lines(&caller.get(&content("error_file_id")).await);
    assert_eq!(errors[0]["custom_id"], "2");
    assert_eq!(errors[0]["error"]["code"], "batch_client_error");
    // Asked again, it has made no more files.
    assert_eq!(caller.get(&path).await.json(), done);
    assert_eq!(caller.get("/v1/batches").await.json()[0], done);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_batch_s_file_is_told_when_it_is_validated() {
    let (server, caller) = server(Jobs::default()).await;
    let long = "x".repeat(65);
    for (content, why) in [
        ("{\n".to_owned(), "line 1 is not valid JSON"),
        ("{}\n".to_owned(), "no custom_id"),
        (line("1", "m") + &line("1", "m"), "twice"),
        (line(&long, "m"), "longer"),
        (line("1", ""), "no model"),
        (String::new(), "no line"),
    ] {
        let file = upload(&server, "batch-api", &content).await;
        let created = batch(&caller, &file).await;
        assert_eq!(created.status, 201);
        let path = format!(
            "/v1/batches/{}",
            created.json()["job"]["id"].as_str().unwrap()
        );
        advance(10 * SECOND).await;
        let failed = caller.get(&path).await.json();
        assert_eq!(failed["status"], "FAILED");
        assert!(failed["error"].as_str().unwrap().contains(why), "{failed}");
    }
    let missing = batch(&caller, "file-x").await;
    assert_eq!(missing.status, 201);
    let body = json!({"input_file_id": "file-x", "endpoint": "/v1/embeddings"});
    assert_eq!(caller.post("/v1/batches", &body).await.status, 400);
}
