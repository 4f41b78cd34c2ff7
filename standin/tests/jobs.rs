//! Files, fine-tunes and batches: their shapes, and how they live.

mod common;

use std::time::Duration;

use common::{Caller, Got, HOUR, quick, until};
use serde_json::{Value, json};
use together_standin::{Fate, JobKind, Jobs, StandIn};
use tokio::time::{Instant, advance};

const SECOND: Duration = Duration::from_secs(1);

async fn server(jobs: Jobs) -> (StandIn, Caller) {
    let jobs = jobs.fine_tune_time(100 * SECOND).batch_time(100 * SECOND);
    let server = quick().jobs(jobs).start().await.unwrap();
    let caller = Caller::new(&server);
    (server, caller)
}

/// Uploads a file, as a form.
async fn upload(server: &StandIn, purpose: &str, content: &str) -> String {
    let mut form = String::new();
    for (name, text) in [("purpose", purpose), ("file_name", "some.jsonl")] {
        form +=
            &format!("--cut\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n");
    }
    form += &format!(
        "--cut\r\ncontent-disposition: form-data; name=\"file\"; filename=\"some.jsonl\"\r\n\
         content-type: application/octet-stream\r\n\r\n{content}\r\n--cut--\r\n"
    );
    let got = raw(server, form).await;
    assert_eq!(got.status, 200, "{:?}", got.body);
    let file = got.json();
    assert_eq!(file["purpose"], purpose);
    assert_eq!(file["filename"], "some.jsonl");
    assert_eq!(file["bytes"], content.len());
    file["id"].as_str().unwrap().to_owned()
}

async fn raw(server: &StandIn, form: String) -> Got {
    post_form(&Caller::new(server), "/v1/files/upload", form).await
}

async fn post_form(caller: &Caller, path: &str, form: String) -> Got {
    let headers = [("content-type", "multipart/form-data; boundary=cut")];
    caller
        .send_with("POST", path, Some("Bearer key"), &headers, form)
        .await
}

async fn fine_tune(caller: &Caller, file: &str, suffix: &str) -> Got {
    let body = json!({"model": "m", "training_file": file, "suffix": suffix});
    caller.post("/v1/fine-tunes", &body).await
}

async fn batch(caller: &Caller, file: &str) -> Got {
    let body = json!({"input_file_id": file, "endpoint": "/v1/chat/completions"});
    caller.post("/v1/batches", &body).await
}

fn line(id: &str, model: &str) -> String {
    let messages = json!([{"role": "user", "content": "hello"}]);
    json!({"custom_id": id, "body": {"model": model, "messages": messages}}).to_string() + "\n"
}

fn lines(file: &Got) -> Vec<Value> {
    let text = std::str::from_utf8(&file.body).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn cancel(caller: &Caller, path: &str) -> Got {
    caller.post(&format!("{path}/cancel"), &json!({})).await
}

#[tokio::test]
async fn a_file_is_kept_shown_and_deleted_and_is_its_key_s_own() {
    let (server, caller) = server(Jobs::default()).await;
    let id = upload(&server, "fine-tune", "{}\n{}\n").await;
    let path = format!("/v1/files/{id}");
    assert_eq!(caller.get(&path).await.json()["LineCount"], 2);
    assert_eq!(
        &caller.get(&format!("{path}/content")).await.body[..],
        b"{}\n{}\n"
    );
    let files = caller.get("/v1/files").await.json();
    assert_eq!(files["data"][0]["id"], id);
    assert_eq!(files["has_more"], false);
    let other = caller
        .send("GET", &path, Some("Bearer other"), String::new())
        .await;
    assert_eq!(other.error().0, 404);
    assert_eq!(
        caller.send("GET", &path, None, String::new()).await.status,
        401
    );
    let deleted = caller
        .send("DELETE", &path, Some("Bearer key"), String::new())
        .await;
    assert_eq!(deleted.json(), json!({"id": id, "deleted": true}));
    assert_eq!(caller.get(&path).await.status, 404);
    assert_eq!(raw(&server, "--cut--\r\n".to_owned()).await.status, 400);
}

#[tokio::test]
async fn a_file_can_be_put_where_the_server_redirects_to() {
    let (server, caller) = server(Jobs::default()).await;
    let form = [
        "purpose\"\r\n\r\nfine-tune",
        "file_name\"\r\n\r\nsome.jsonl",
    ];
    let field = |field| format!("--cut\r\ncontent-disposition: form-data; name=\"{field}\r\n");
    let form = form.map(field).concat() + "--cut--\r\n";
    for caller in [&caller, &Caller::http2(&server)] {
        let announced = post_form(caller, "/v1/files", form.clone()).await;
        assert_eq!(announced.status, 302);
        let id = announced.header("x-together-file-id").unwrap();
        let storage = announced.header("location").unwrap();
        let storage = storage.strip_prefix(&server.url()).unwrap();
        let preprocess = format!("/v1/files/{id}/preprocess");
        let finish = || caller.send("POST", &preprocess, Some("Bearer key"), String::new());
        assert_eq!(finish().await.error().0, 404);
        // A caller has no key there, and its file may be larger than what most servers take.
        let put = |content: String| caller.send("PUT", storage, None, content);
        let content = "{}\n".repeat(1 << 20);
        assert_eq!(put(content.clone()).await.status, 200);
        assert_eq!(put(content.clone()).await.status, 404);
        let file = finish().await.json();
        assert_eq!(
            (&file["id"], &file["purpose"], &file["filename"]),
            (&json!(id), &json!("fine-tune"), &json!("some.jsonl"))
        );
        let kept = caller.get(&format!("/v1/files/{id}/content")).await;
        assert!(kept.body == content.as_bytes());
    }
    assert_eq!(
        caller.get("/v1/files").await.json()["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let none = caller.send("PUT", "/standin/storage/file-x", None, "{}".to_owned());
    assert_eq!(none.await.status, 404);
    let json = caller
        .post("/v1/files", &json!({"purpose": "fine-tune"}))
        .await;
    assert_eq!(json.error().0, 400);
}

#[tokio::test]
async fn a_form_with_a_file_in_it_needs_no_storage() {
    let (server, caller) = server(Jobs::default()).await;
    let form = "--cut\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
                --cut\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n\
                {}\r\n--cut--\r\n";
    let file = post_form(&caller, "/v1/files", form.to_owned()).await;
    assert_eq!(
        (file.status.as_u16(), &file.json()["filename"]),
        (200, &json!("a.jsonl"))
    );
    let id = file.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        &caller.get(&format!("/v1/files/{id}/content")).await.body[..],
        b"{}"
    );
    drop(server);
}

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
