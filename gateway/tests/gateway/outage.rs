//! The operator sees what goes wrong: on the page, in the metrics and in the log.

use std::process::{Command, Stdio};
use std::{env, io::Write};

use http::{Response, StatusCode, header::ACCEPT};
use serde_json::Value;

use crate::{
    api::Api,
    event,
    process::Gateway,
    program::{Program, chat, streamed},
    stand_in, stream,
};
use testing::until;

/// Makes the next responses of a server failures that the gateway does not retry.
fn failing(api: &Api, status: u16, times: usize) {
    for _ in 0..times {
        let response = Response::builder().status(status);
        let response = response.header("x-should-retry", "false");
        api.will_respond(response.body("{}").unwrap());
    }
}

async fn metrics(gateway: &Gateway, accept: &str) -> (String, String) {
    let mut request = gateway.get("/metrics");
    request
        .headers_mut()
        .insert(ACCEPT, accept.parse().unwrap());
    let response = Program::new("").send(request).await;
    let kind = response.header("content-type").to_owned();
    (kind, response.text().to_owned())
}

/// The lines of a JSON log about this event.
fn events(log: &str, event: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["event"] == event)
        .collect()
}

#[tokio::test]
async fn an_error_in_the_body_of_a_success_is_counted() {
    let api = Api::start().await;
    let gateway = Gateway::before(&api.url(), &[]).await;
    api.will_respond(Response::new(
        r#"{"error":{"code":400,"message":"m"}}"#.to_owned(),
    ));
    let response = Program::new("tom").send(gateway.post(chat("m"))).await;
    assert_eq!(response.status, 200);
    until("the call has ended", async || {
        gateway.lanes().await["recent"]["errors"] == 1
    })
    .await;
    let (_, text) = metrics(&gateway, "text/plain").await;
    let errors = r#"together_gateway_errors_total{endpoint="chat-completions",error="400"} 1"#;
    assert!(text.contains(errors), "{text}");
}

/// 300 of 300 calls got 502, and the page said "live".
#[tokio::test]
async fn an_outage_is_seen_with_its_beginning_and_its_error() {
    let api = Api::start().await;
    let mut gateway = Gateway::before(&api.url(), &["--log", "json"]).await;
    let tom = Program::new("tom");
    assert_eq!(tom.send(gateway.post(chat("m"))).await.status, 200);
    assert_eq!(gateway.lanes().await["outage"], Value::Null);
    failing(&api, 500, 5);
    for _ in 0..5 {
        assert_eq!(tom.send(gateway.post(chat("m"))).await.status, 500);
    }
    let lanes = gateway.lanes().await;
    let outage = &lanes["outage"];
    assert_eq!(outage["error"], "500 Internal Server Error");
    assert_eq!(outage["failures"], 5);
    assert!(outage["since"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(lanes["recent"]["errors"], 5);
    let (_, text) = metrics(&gateway, "text/plain").await;
    let errors = r#"together_gateway_errors_total{endpoint="chat-completions",error="500"} 5"#;
    assert!(text.contains(errors), "{text}");
    assert!(text.contains("\ntogether_gateway_outage 1\n"), "{text}");

    assert_eq!(tom.send(gateway.post(chat("m"))).await.status, 200);
    assert_eq!(gateway.lanes().await["outage"], Value::Null);
    until("all calls have ended", async || {
        gateway.lanes().await.is_quiet()
    })
    .await;
    let log = gateway.stop().await;
    assert_eq!(events(&log, "outage").len(), 1, "{log}");
    assert_eq!(
        events(&log, "outage")[0]["error"],
        "500 Internal Server Error"
    );
    assert_eq!(events(&log, "outage_over")[0]["failures"], 5);
    assert_eq!(events(&log, "call").len(), 7, "{log}");
}

#[tokio::test]
async fn an_api_that_is_not_there_is_an_outage_before_the_first_call_fails() {
    let api = Api::start().await;
    let mut gateway = Gateway::before(&api.url(), &[]).await;
    drop(api);
    let request = gateway.post(chat("m"));
    let call = tokio::spawn(async move { Program::new("tom").send(request).await });
    until("three attempts have failed", async || {
        let lanes = gateway.lanes().await;
        let error = lanes["outage"]["error"].as_str().unwrap_or_default();
        error.contains("refused") && lanes["recent"]["retries"].as_u64() >= Some(2)
    })
    .await;
    call.abort();
    gateway.says("outage error=").await;
}

/// An account without credit, and an unknown key, are outages too.
#[tokio::test]
async fn what_rejects_every_call_is_an_outage_and_what_rejects_one_is_not() {
    for (status, is_outage) in [(401, true), (402, true), (400, false), (404, false)] {
        let api = Api::start().await;
        let gateway = Gateway::before(&api.url(), &[]).await;
        failing(&api, status, 4);
        for _ in 0..4 {
            Program::new("tom").send(gateway.post(chat("m"))).await;
        }
        let outage = &gateway.lanes().await["outage"];
        assert_eq!(!outage.is_null(), is_outage, "{status}: {outage}");
    }
}

#[tokio::test]
async fn each_call_is_a_line_of_the_log() {
    let api = Api::start().await;
    let env = [("GATEWAY_TOKENS", "tom=secret-of-tom,secret-of-ann")];
    let args = ["--base-url", &api.url(), "--log", "json"];
    let mut gateway = Gateway::start_with(&args, &env).await;
    let tom = Program::new("secret-of-tom");
    tom.send(gateway.post_to("/v1/chat/completions?key=secret", chat("a model")))
        .await;
    // A retry: the second attempt succeeds.
    let response = Response::builder()
        .status(503)
        .header("retry-after-ms", "1");
    api.will_respond(response.body("{}").unwrap());
    Program::new("secret-of-ann")
        .send(gateway.post(chat("m")))
        .await;
    let unknown = Program::new("stranger").send(gateway.post(chat("m"))).await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED);
    let mut pieces = stream(&api);
    let mut response = tom.open(gateway.post(streamed("m"))).await;
    pieces.send("data: 1\n\n").await;
    assert_eq!(event(&mut response).await.as_deref(), Some("data: 1"));
    drop(response);
    let (_, text) = metrics(&gateway, "text/plain").await;
    assert!(
        text.contains("together_gateway_unknown_tokens_total 1\n"),
        "{text}"
    );
    let retries = r#"together_gateway_retries_total{endpoint="chat-completions"} 1"#;
    assert!(text.contains(retries), "{text}");
    until("the hang-up is seen", async || {
        let mut request = gateway.get("/lanes");
        let token = "Bearer secret-of-tom".parse().unwrap();
        request.headers_mut().insert("authorization", token);
        Program::new("").send(request).await.json()["open"]["calls"] == 0
    })
    .await;
    let log = gateway.stop().await;
    let calls = events(&log, "call");
    let [first, retried, stranger, gone] = &calls[..] else {
        panic!("{log}")
    };
    assert_eq!(first["program"], "tom");
    assert_eq!(first["method"], "POST");
    assert_eq!(first["path"], "/v1/chat/completions");
    assert_eq!(first["model"], "a model");
    assert_eq!(
        (&first["status"], &first["end"]),
        (&200.into(), &"done".into())
    );
    assert_eq!(first["attempts"], 1);
    assert!(first["seconds"].is_number() && first["waited"].is_number());
    assert!(first["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(retried["attempts"], 2);
    assert!(retried["program"].as_str().unwrap().starts_with("key-"));
    assert_eq!(stranger["error"], "invalid_gateway_token");
    assert_eq!(
        (&stranger["program"], &stranger["attempts"]),
        (&"unknown".into(), &0.into())
    );
    assert_eq!(gone["end"], "hung_up");
    assert!(!log.contains("secret"), "{log}");
}

/// A program chooses its model's name, and a line break in it would begin a line of its own.
#[tokio::test]
async fn no_call_forges_a_line_of_the_log() {
    let api = Api::start().await;
    let mut gateway = Gateway::before(&api.url(), &["--log", "text"]).await;
    let model = "m\n2026-01-01T00:00:00Z call program=\"tom\"";
    Program::new("tom").send(gateway.post(chat(model))).await;
    let log = gateway.stop().await;
    let calls: Vec<_> = log.lines().filter(|line| line.contains(" call ")).collect();
    assert_eq!(calls.len(), 1, "{log}");
    assert!(calls[0].contains(r#"model="m\n2026"#), "{log}");

    let mut silent = Gateway::before(&api.url(), &["--log", "off"]).await;
    Program::new("tom").send(silent.post(chat("m"))).await;
    assert!(!silent.stop().await.contains("program="));
}

/// A stalled reader of standard error stopped the whole process, and then kept it from its end.
#[tokio::test]
async fn a_log_that_nobody_reads_holds_nothing_up() {
    let api = Api::start().await;
    let gateway = Gateway::before(&api.url(), &["--limit", "chat-completions=600000"]).await;
    let tom = Program::new("tom");
    // Over 64 KiB, which is what a pipe takes.
    let model = "m".repeat(250);
    for _ in 0..300 {
        assert_eq!(tom.send(gateway.post(chat(&model))).await.status, 200);
    }
    #[cfg(unix)]
    {
        gateway.signal("TERM").await;
        assert_eq!(gateway.ended_unread().await, Some(0));
    }
}

#[tokio::test]
async fn accept_selects_the_format_of_metrics() {
    let server = stand_in().await;
    let gateway = Gateway::before(&server.url(), &[]).await;
    Program::new("tom").send(gateway.post(chat("m"))).await;
    for (accept, kind) in [
        ("*/*", "text/plain; version=0.0.4"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text; version=1.0.0",
        ),
    ] {
        let (said, text) = metrics(&gateway, accept).await;
        assert!(said.starts_with(kind), "{accept}: {said}");
        let open = kind.starts_with("application");
        assert_eq!(text.ends_with("# EOF\n"), open, "{text}");
        let counter = if open { "requests" } else { "requests_total" };
        let line = format!("# TYPE together_gateway_{counter} counter\n");
        assert!(text.contains(&line), "{text}");
        let bucket =
            r#"together_gateway_wait_seconds_bucket{le="0.01",endpoint="chat-completions""#;
        assert!(text.contains(bucket), "{text}");
        if !open {
            promtool(&text);
        }
    }
}

/// Checks `text` with promtool, if it is installed or `PROMTOOL` names it.
fn promtool(text: &str) {
    let path = env::var("PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    let check = Command::new(path)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut check) = check else { return };
    check
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let said = check.wait_with_output().unwrap();
    assert!(said.status.success(), "{said:?}\n{text}");
}
