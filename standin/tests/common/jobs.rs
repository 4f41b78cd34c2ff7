//! Files, fine-tunes and batches, as a caller makes them.

use std::time::Duration;

use serde_json::{Value, json};
use together_standin::{Jobs, StandIn};

use super::{Caller, Got, quick};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) async fn server(jobs: Jobs) -> (StandIn, Caller) {
    let jobs = jobs.fine_tune_time(100 * SECOND).batch_time(100 * SECOND);
    let server = quick().jobs(jobs).start().await.unwrap();
    let caller = Caller::new(&server);
    (server, caller)
}

/// Uploads a file, as a form.
pub(crate) async fn upload(server: &StandIn, purpose: &str, content: &str) -> String {
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

pub(crate) async fn raw(server: &StandIn, form: String) -> Got {
    post_form(&Caller::new(server), "/v1/files/upload", form).await
}

pub(crate) async fn post_form(caller: &Caller, path: &str, form: String) -> Got {
    let headers = [("content-type", "multipart/form-data; boundary=cut")];
    caller
        .send_with("POST", path, Some("Bearer key"), &headers, form)
        .await
}

pub(crate) async fn fine_tune(caller: &Caller, file: &str, suffix: &str) -> Got {
    let body = json!({"model": "m", "training_file": file, "suffix": suffix});
    caller.post("/v1/fine-tunes", &body).await
}

pub(crate) async fn batch(caller: &Caller, file: &str) -> Got {
    let body = json!({"input_file_id": file, "endpoint": "/v1/chat/completions"});
    caller.post("/v1/batches", &body).await
}

pub(crate) fn line(id: &str, model: &str) -> String {
    let messages = json!([{"role": "user", "content": "hello"}]);
    json!({"custom_id": id, "body": {"model": model, "messages": messages}}).to_string() + "\n"
}

pub(crate) fn lines(file: &Got) -> Vec<Value> {
    let text = std::str::from_utf8(&file.body).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) async fn cancel(caller: &Caller, path: &str) -> Got {
    caller.post(&format!("{path}/cancel"), &json!({})).await
}
