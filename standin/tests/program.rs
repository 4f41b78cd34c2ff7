//! The program, run as anybody would run it.

mod common;

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use axum::{body::Body, http::Request};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

/// A process that does not outlive its test, however the test ends.
struct Program(Child);

impl Program {
    fn run(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_together-standin"));
        command.args(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// The first line it prints; empty if it ends without one.
    fn first_line(&mut self) -> String {
        let mut line = String::new();
        let output = self.0.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        line
    }

    /// The URL that it prints.
    fn url(&mut self) -> String {
        let line = self.first_line();
        let url = line.strip_prefix("listening on ").expect("the address");
        url.trim().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn it_says_where_it_listens_and_keeps_the_limits_it_is_given() {
    let mut program = Program::run(&[
        "--listen=127.0.0.1:0",
        "--rule=fixed",
        "--chat=2",
        "--shared=0",
        "--latency-ms=0",
        "--headers=never",
    ]);
    let url = program.url();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let request = Request::post(format!("{url}/v1/chat/completions"))
            .header("authorization", "Bearer key")
            .header("content-type", "application/json")
            .body(Body::from(common::chat().to_string()))
            .unwrap();
        let response = client.request(request).await.unwrap();
        assert!(!response.headers().contains_key("retry-after"));
        statuses.push(response.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn it_fails_requests_when_told_to() {
    for (args, faults) in [
        (&["--listen=127.0.0.1:0", "--chaos=7"][..], 24),
        (&["--listen=127.0.0.1:0"], 0),
    ] {
        let mut program = Program::run(args);
        let uri = format!("{}/standin/stats", program.url());
        let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
        let response = client.get(uri.parse().unwrap()).await.unwrap();
        let (stats, _) = common::read(Body::new(response.into_body())).await;
        let stats: serde_json::Value = serde_json::from_slice(&stats).unwrap();
        let listed = stats["faults"].as_object().map_or(0, |faults| faults.len());
        assert_eq!(listed, faults, "{args:?}");
    }
}

#[tokio::test]
async fn it_tells_of_its_limits_as_it_is_told_to() {
    let chat = ("/v1/chat/completions", common::chat());
    let embeddings = ("/v1/embeddings", common::embedding());
    for (args, (path, body), told) in [
        (
            &["--moving"][..],
            embeddings,
            &[("x-ratelimit-limit", "5")][..],
        ),
        (
            &["--headers=everything", "--chat-tokens=600"],
            chat,
            &[
                ("x-ratelimit-limit", "10"),
                ("x-ratelimit-limit-dynamic", "10"),
                ("x-tokenlimit-limit", "10"),
            ],
        ),
    ] {
        let mut program = Program::run(&[&["--listen=127.0.0.1:0"], args].concat());
        let url = program.url();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::post(format!("{url}{path}"))
            .header("authorization", "Bearer key")
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = client.request(request).await.unwrap();
        for (name, value) in told {
            assert_eq!(response.headers()[*name], value, "{args:?}");
        }
    }
}

#[test]
fn it_rejects_what_cannot_be_right() {
    for (args, says) in [
        (&["--listen=0.0.0.0:8017"][..], "not a loopback address"),
        (&["--latency-ms=20..2"], "the shorter and the longer"),
        (&["--moving", "--embeddings=30"], "cannot be used with"),
    ] {
        let mut program = Program::run(args);
        assert_eq!(program.first_line(), "", "{args:?}");
        assert!(!program.0.wait().unwrap().success());
        let mut message = String::new();
        let errors = program.0.stderr.as_mut().unwrap();
        errors.read_to_string(&mut message).unwrap();
        assert!(message.contains(says), "{message}");
    }
}
