//! Fine-tunes, and jobs of both kinds: how they live, their limits, and how long a create takes.

mod common;

use common::{
    HOUR,
    jobs::{SECOND, batch, cancel, fine_tune, line, lines, server, upload},
    until,
};
use serde_json::json;
use together_standin::{Fate, JobKind, Jobs};
use tokio::time::{Instant, advance};

#[tokio::test(start_paused = true)]
async fn a_fine_tune_lives_from_pending_to_completed() {
    let (server, caller) = server(Jobs::default()).await;
    let file = upload(&server, "fine-tune", "{}").await;
    assert_eq!(fine_tune(&caller, "file-x", "a").await.status, 400);
    let created = fine_tune(&caller, &file, "a").await;
    assert_eq!(created.status, 200);
    let created = created.json();
    assert_eq!(
        (&created["status"], &created["suffix"]),
        (&json!("pending"), &json!("a"))
    );
    let path = format!("/v1/fine-tunes/{}", created["id"].as_str().unwrap());
    let mut seen = vec!["pending".to_owned()];
    for _ in 0..100 {
        advance(SECOND).await;
        let status = caller.get(&path).await.json()["status"]
            .as_str()
            .unwrap()
            .to_owned();
        if seen.last() != Some(&status) {
            seen.push(status);
        }
    }
    assert_eq!(
        seen,
        [
            "pending",
            "queued",
            "running",
            "compressing",
            "uploading",
            "completed"
        ]
    );
    assert_eq!(cancel(&caller, &path).await.status, 400);
    let deleted = caller
        .send("DELETE", &path, Some("Bearer key"), String::new())
        .await;
    assert!(deleted.json()["message"].is_string());
    assert_eq!(caller.get(&path).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_takes_a_moment_and_an_ended_one_is_not_cancelled() {
    let (server, caller) = server(Jobs::default()).await;
    let file = upload(&server, "batch-api", &line("1", "m")).await;
    let one = fine_tune(&caller, &file, "a").await.json();
    let one = format!("/v1/fine-tunes/{}", one["id"].as_str().unwrap());
    assert_eq!(
        cancel(&caller, &one).await.json()["status"],
        "cancel_requested"
    );
    let other = batch(&caller, &file).await.json();
    let other = format!("/v1/batches/{}", other["job"]["id"].as_str().unwrap());
    assert_eq!(cancel(&caller, &other).await.json()["status"], "CANCELING");
    advance(20 * SECOND).await;
    assert_eq!(caller.get(&one).await.json()["status"], "cancelled");
    assert_eq!(caller.get(&other).await.json()["status"], "CANCELLED");
    let again = cancel(&caller, &other).await;
    assert_eq!(again.status, 409);
    let message = "Cannot cancel job - already in terminal state: CANCELLED";
    assert_eq!(again.json(), json!({"error": message}));
}

#[tokio::test(start_paused = true)]
async fn every_fate_there_is() {
    use Fate::{Cancelled, Expires, Fails, HalfFails, Restarts, UserError, Vanishes};
    let fates = [
        Fails, UserError, Cancelled, Restarts, Vanishes, Expires, HalfFails,
    ];
    let (server, caller) = server(Jobs::default().fates(fates)).await;
    let content: String = (0..4).map(|id| line(&id.to_string(), "m")).collect();
    let file = upload(&server, "batch-api", &content).await;
    for number in 0..7 {
        fine_tune(&caller, &file, &number.to_string()).await;
    }
    for _ in 0..7 {
        batch(&caller, &file).await;
    }
    advance(100 * SECOND).await;
    let tunes = caller.get("/v1/fine-tunes").await.json();
    let tunes: Vec<_> = tunes["data"].as_array().unwrap().iter().rev().collect();
    let statuses: Vec<_> = tunes
        .iter()
        .map(|job| job["status"].as_str().unwrap())
        .collect();
    let ended = [
        "error",
        "user_error",
        "cancelled",
        "error",
        "error",
        "completed",
        "running",
    ];
    assert_eq!(statuses, ended);
    // Begun again half way, under another id and the same suffix.
    assert_eq!(tunes[6]["suffix"], tunes[3]["suffix"]);
    assert!(server.jobs().last().unwrap().restarted);
    let batches = caller.get("/v1/batches").await.json();
    let batches: Vec<_> = batches.as_array().unwrap().iter().rev().collect();
    let statuses: Vec<_> = batches
        .iter()
        .map(|job| job["status"].as_str().unwrap())
        .collect();
    let ended = [
        "FAILED",
        "FAILED",
        "CANCELLED",
        "COMPLETED",
        "EXPIRED",
        "COMPLETED",
    ];
    assert_eq!(statuses, ended);
    for (job, output, errors) in [(4, 2, None), (5, 2, Some(2))] {
        let content = |name: &str| {
            Some(format!(
                "/v1/files/{}/content",
                batches[job][name].as_str()?
            ))
        };
        let made = caller.get(&content("output_file_id").unwrap()).await;
        assert_eq!(lines(&made).len(), output);
        let failed = match content("error_file_id") {
            Some(path) => Some(lines(&caller.get(&path).await).len()),
            None => None,
        };
        assert_eq!(failed, errors);
    }
}

#[tokio::test(start_paused = true)]
async fn one_too_many_is_rejected_and_lists_have_pages() {
    let (server, caller) = server(Jobs::default().fine_tunes(2).batches(1).page(1)).await;
    let file = upload(&server, "batch-api", &line("1", "m")).await;
    let first = fine_tune(&caller, &file, "a").await.json();
    assert_eq!(fine_tune(&caller, &file, "b").await.status, 200);
    let (status, kind, code) = fine_tune(&caller, &file, "c").await.error();
    assert_eq!(
        (status, &*kind, code.as_deref()),
        (409, "conflict", Some("concurrent_job_limit"))
    );
    assert_eq!(batch(&caller, &file).await.status, 201);
    assert_eq!(batch(&caller, &file).await.status, 409);
    let page = caller.get("/v1/fine-tunes").await.json();
    assert_eq!(
        (page["data"].as_array().unwrap().len(), &page["has_more"]),
        (1, &json!(true))
    );
    let after = page["data"][0]["id"].as_str().unwrap();
    let page = caller
        .get(&format!("/v1/fine-tunes?after={after}"))
        .await
        .json();
    assert_eq!(
        (&page["data"][0]["id"], &page["has_more"]),
        (&first["id"], &json!(false))
    );
    advance(100 * SECOND).await;
    assert_eq!(fine_tune(&caller, &file, "c").await.status, 200);
    assert_eq!(server.max_concurrent_jobs(JobKind::FineTune), 2);
    assert_eq!(server.max_concurrent_jobs(JobKind::Batch), 1);
}

#[tokio::test(start_paused = true)]
async fn a_create_takes_effect_after_a_while_even_if_its_caller_is_gone() {
    let jobs = Jobs::default().create_delays(HOUR, HOUR);
    let (server, caller) = server(jobs).await;
    let file = upload(&server, "fine-tune", "{}").await;
    let create = tokio::spawn({
        let caller = caller.clone();
        let file = file.clone();
        async move { fine_tune(&caller, &file, "a").await }
    });
    until("it has arrived", || server.stats().arrived == 2).await;
    create.abort();
    until("its caller is gone", || server.connections() == 0).await;
    assert!(server.jobs().is_empty());
    assert_eq!(
        server.max_concurrent_jobs(JobKind::FineTune),
        1,
        "its slot is taken"
    );
    let listed = caller.get("/v1/fine-tunes").await.json();
    assert_eq!(listed["data"], json!([]));

    advance(HOUR).await;
    assert_eq!(server.jobs().len(), 1);
    let listed = caller.get("/v1/fine-tunes").await.json();
    assert_eq!(listed["data"][0]["status"], "pending");
    let since = Instant::now();
    assert_eq!(fine_tune(&caller, &file, "b").await.status, 200);
    assert_eq!(since.elapsed(), 2 * HOUR);
}

/// Together's SDK for Python asks for a model's limits and for a price before it creates a fine-tune.
#[tokio::test(start_paused = true)]
async fn what_an_sdk_asks_about_fine_tunes_gets_a_response() {
    let (_server, caller) = server(Jobs::default()).await;
    let limits = caller.get("/v1/fine-tunes/models/limits").await.json();
    for of in ["lora_training", "full_training"] {
        assert!(limits[of]["max_batch_size"].is_u64(), "{limits}");
    }
    let price = caller
        .post("/v1/fine-tunes/estimate-price", &json!({}))
        .await;
    assert_eq!(price.json()["allowed_to_proceed"], true);
    let models = caller.get("/v1/models").await.json();
    assert!(models[0]["pricing"]["input"].is_number(), "{models}");
}
