//! Jobs whose programs have ended.

use std::time::Duration;

use http::{Request, StatusCode};
use serde_json::{Value, json};
use together_standin::{Answer, Jobs, Rules, StandIn};

use crate::{
    process::Gateway,
    program::{Body, Program},
};
use testing::until;

async fn server() -> StandIn {
    let jobs = Jobs::default().fine_tune_time(Duration::from_millis(50));
    let server = StandIn::builder().rules(Rules::none()).jobs(jobs);
    server.start().await.unwrap()
}

async fn file(program: &Program, gateway: &Gateway) -> Value {
    let mut upload = gateway.post_to("/v1/files/upload", FILE.to_owned());
    let form = "multipart/form-data; boundary=cut".parse().unwrap();
    upload.headers_mut().insert("content-type", form);
    program.send(upload).await.json()["id"].take()
}

fn create(gateway: &Gateway, file: &Value, number: usize) -> Request<Body> {
    let create = json!({"model": "m", "training_file": file, "suffix": number.to_string()});
    gateway.post_to("/v1/fine-tunes", create.to_string())
}

#[tokio::test]
async fn a_job_whose_program_never_asks_for_it_gives_its_slot_to_the_next() {
    let server = server().await;
    let gateway = Gateway::before(&server.url(), &[]).await;
    let program = Program::new("tom");
    let file = file(&program, &gateway).await;
    // Three at a time.
    for number in 1..=6 {
        let response = program.send(create(&gateway, &file, number)).await;
        assert_eq!(response.status, StatusCode::OK);
        until("it has ended", || async {
            let jobs = server.jobs();
            jobs.iter().all(|job| job.status == "completed")
        })
        .await;
    }
    assert_eq!(server.jobs().len(), 6);
}

#[tokio::test]
async fn whoever_runs_it_is_told_if_it_may_not_ask_for_jobs() {
    let server = server().await;
    let mut gateway = Gateway::before(&server.url(), &[]).await;
    let program = Program::new("tom");
    let file = file(&program, &gateway).await;
    for number in 1..=3 {
        program.send(create(&gateway, &file, number)).await;
    }
    server.script("GET", "/fine-tunes", Answer::status(401));
    let fourth = create(&gateway, &file, 4);
    let waiting = tokio::spawn(async move { program.send(fourth).await });
    gateway.says("rejects the gateway's key (401").await;
    waiting.abort();
}

const FILE: &str = "--cut\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n\
    --cut\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{}\r\n--cut--\r\n";
