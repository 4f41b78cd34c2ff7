//! A gateway that is asked to stop reports every call that it drops.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http::{Response, StatusCode};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    api::Api,
    event,
    process::Gateway,
    program::{Body, Program, ReadResponse, chat, streamed},
    stand_in, stream,
};
use testing::until;

/// Sends a call in the background.
fn send(name: &str, request: http::Request<Body>) -> JoinHandle<ReadResponse> {
    let program = Program::new(name);
    tokio::spawn(async move { program.send(request).await })
}

async fn waiting(gateway: &Gateway, calls: u64) {
    until("they wait", || async {
        gateway.lanes().await.waiting() == calls
    })
    .await;
}

#[tokio::test]
async fn when_it_ends_calls_in_flight_end_and_queued_calls_are_told_to_retry() {
    for signal in ["INT", "TERM"] {
        let api = Api::start().await;
        let gateway = Gateway::before(&api.url(), &["--max-streams", "1"]).await;
        let mut events = stream(&api);
        let mut response = Program::new("tom").open(gateway.post(streamed("m"))).await;
        let queued = send("ann", gateway.post(streamed("m")));
        waiting(&gateway, 1).await;
        gateway.signal(signal).await;
        let told = queued.await.unwrap();
        assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(told.json()["error"]["code"], "closed");
        // The grace period of 8 s, and 2 s for the next process to start.
        assert_eq!(told.header("retry-after"), "10");
        assert!(!told.headers.contains_key("x-should-retry"));
        events.send("data: [DONE]\n\n").await;
        drop(events);
        assert_eq!(event(&mut response).await.as_deref(), Some("data: [DONE]"));
        assert_eq!(event(&mut response).await, None);
        assert_eq!(gateway.ended().await.0, Some(0));
    }
}

/// Two of twenty queued calls succeeded after SIGTERM, and twenty after SIGKILL.
#[tokio::test]
async fn programs_that_obey_retry_after_lose_no_call_in_a_restart() {
    let server = stand_in().await;
    let flags = ["--limit", "chat-completions=1", "--max-wait", "2000"];
    let flags = [&flags[..], &["--grace", "2"]].concat();
    let gateway = Gateway::before(&server.url(), &flags).await;
    let first = Program::new("tom").send(gateway.post(chat("m"))).await;
    assert_eq!(first.status, StatusCode::OK);
    let url = gateway.url().to_owned();
    let queued: Vec<_> = (0..20)
        .map(|_| send("tom", gateway.post(chat("m"))))
        .collect();
    waiting(&gateway, 20).await;
    gateway.signal("TERM").await;
    let told = join_all(queued).await;
    assert_eq!(gateway.ended().await.0, Some(0));

    let listen = ["--listen", url.trim_start_matches("http://")];
    let gateway = Gateway::before(&server.url(), &listen).await;
    let retries = told.into_iter().map(|told| {
        let told = told.unwrap();
        let request = gateway.post(chat("m"));
        async move {
            assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(!told.headers.contains_key("x-should-retry"));
            let wait = told.header("retry-after").parse().unwrap();
            sleep(Duration::from_secs(wait)).await;
            Program::new("tom").send(request).await.status
        }
    });
    assert_eq!(join_all(retries).await, [StatusCode::OK; 20]);
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_with_an_error_in_its_own_shape() {
    let api = Api::start().await;
    let gateway = Gateway::before(&api.url(), &["--grace", "0.2"]).await;
    let mut events = stream(&api);
    let mut response = Program::new("tom").open(gateway.post(streamed("m"))).await;
    events.send("data: {}\n\n").await;
    assert_eq!(event(&mut response).await.as_deref(), Some("data: {}"));
    gateway.signal("TERM").await;
    let last = event(&mut response).await.unwrap();
    let error: serde_json::Value =
        serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "gateway_shutting_down");
    assert!(error["error"]["message"].is_string());
    assert_eq!(event(&mut response).await, None);
    let (code, said) = gateway.ended().await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("calls cut: 1;"), "{said}");
    assert!(said.contains("status=200 end=cut"), "{said}");
}

/// An error after half an event would be read as the rest of it.
#[tokio::test]
async fn a_stream_that_is_cut_within_an_event_breaks_off() {
    let api = Api::start().await;
    let gateway = Gateway::before(&api.url(), &["--grace", "0.2"]).await;
    let mut events = stream(&api);
    let mut response = Program::new("tom").open(gateway.post(streamed("m"))).await;
    events.send("data: 1\n\ndata: {\"a\":").await;
    assert_eq!(event(&mut response).await.as_deref(), Some("data: 1"));
    gateway.signal("TERM").await;
    assert!(response.breaks_off().await);
    assert_eq!(gateway.ended().await.0, Some(3));
}

#[tokio::test]
async fn a_call_cut_before_its_response_is_told_to_retry_unless_it_creates_something() {
    let api = Api::start().await;
    api.holds();
    let gateway = Gateway::before(&api.url(), &["--grace", "0.2"]).await;
    let chat = send("tom", gateway.post(chat("m")));
    let create = send("tom", gateway.post_to("/v1/fine-tunes", "{}".to_owned()));
    until("both are in flight", async || api.arrived().len() == 2).await;
    gateway.signal("TERM").await;
    for (call, retried) in [(chat, true), (create, false)] {
        let told = call.await.unwrap();
        assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(told.json()["error"]["code"], "gateway_shutting_down");
        assert_eq!(told.headers.contains_key("retry-after"), retried);
        assert_eq!(told.header("x-should-retry") == "false", !retried);
    }
    let (code, said) = gateway.ended().await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("calls cut: 2;"), "{said}");
    let cut = "status=503 end=cut";
    assert_eq!(said.matches(cut).count(), 2, "{said}");
}

/// Their tasks are dropped after all else has ended, and the program ended before their lines were written.
#[tokio::test]
async fn calls_that_are_cut_while_their_program_reads_nothing_are_logged() {
    const CALLS: usize = 8;
    let api = Api::start().await;
    let gateway = Gateway::before(&api.url(), &["--grace", "0.2"]).await;
    // More than the system's buffers take.
    let file = Bytes::from(vec![b'x'; 32 << 20]);
    let tom = Program::new("tom");
    // Their lines are more than a pipe takes, so that their reader is waited for.
    let path = format!("/v1/files/{}/content", "x".repeat(30_000));
    let mut unread = Vec::new();
    for _ in 0..CALLS {
        api.will_respond(Response::new(file.clone()));
        unread.push(tom.open(gateway.get(&path)).await);
    }
    gateway.signal("TERM").await;
    let (code, said) = gateway.ended().await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(&format!("calls cut: {CALLS};")), "{said}");
    assert_eq!(said.matches(" end=cut ").count(), CALLS, "{said}");
}

/// Each SDK would add its own three retries.
#[tokio::test]
async fn a_program_is_told_not_to_retry_what_the_gateway_has_retried() {
    let api = Api::start().await;
    let gateway = Gateway::before(&api.url(), &[]).await;
    let failing = |status: u16, attempts| {
        for _ in 0..attempts {
            let response = Response::builder().status(status);
            let response = response.header("retry-after-ms", "1");
            api.will_respond(response.body("{}").unwrap());
        }
    };
    for (path, status, attempts) in [
        ("/v1/files", 502, 1),
        ("/v1/fine-tunes", 500, 1),
        ("/v1/embeddings", 502, 5),
        ("/v1/embeddings", 429, 5),
    ] {
        failing(status, attempts);
        let before = api.arrived().len();
        let call = gateway.post_to(path, "{}".to_owned());
        let response = Program::new("tom").send(call).await;
        assert_eq!(response.status, status, "{path}");
        assert_eq!(api.arrived().len() - before, attempts, "{path} {status}");
        assert_eq!(
            response.header("x-should-retry"),
            "false",
            "{path} {status}"
        );
    }
    // Every other error is the API's own.
    failing(400, 1);
    let response = Program::new("tom").send(gateway.post(chat("m"))).await;
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
    assert!(!response.headers.contains_key("x-should-retry"));
}
