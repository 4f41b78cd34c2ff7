//! The gateway, run as its users run it: a process, programs that call it over real sockets, and an API, which is the
//! stand-in or a server that records its requests.
#![allow(
    clippy::disallowed_methods,
    reason = "processes and real sockets take real time"
)]

mod api;
mod bodies;
#[cfg(unix)]
mod descriptors;
mod door;
mod edges;
mod hang_ups;
mod jobs;
mod masks;
mod numbers;
mod outage;
mod process;
mod program;
mod secrets;
#[cfg(unix)]
mod sharing;
#[cfg(unix)]
mod shutdown;
mod start;

use api::Api;
use futures::future::join_all;
use http::{HeaderValue, Response, StatusCode};
use process::Gateway;
use program::{Open, Pieces, Program, chat, streamed};
use testing::{PATIENCE, until};
use together_standin::{Rules, StandIn};
use tokio::{task::JoinSet, time::timeout};

/// A stand-in without limits of its own.
async fn stand_in() -> StandIn {
    let server = StandIn::builder().rules(Rules::none()).start().await;
    server.unwrap()
}

#[tokio::test]
async fn without_a_key_it_works_at_once_and_says_what_to_try() {
    let mut gateway = Gateway::start(&[]).await;
    let response = Program::new("tom").send(gateway.post(chat("m"))).await;
    assert_eq!(response.status, StatusCode::OK);
    assert!(response.text().contains("the stand-in speaking."));
    let said = gateway.stop().await;
    for part in [
        "no TOGETHER_API_KEY",
        "curl -N http://127.0.0.1:",
        "the page: http://",
        "--demo",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn base_urls_with_and_without_a_version_come_out_at_the_same_place() {
    let server = stand_in().await;
    for base in ["", "/", "/v1", "/v1/"] {
        let base = format!("{}{base}", server.url());
        let gateway = Gateway::before(&base, &[]).await;
        let response = Program::new("tom").send(gateway.post(chat("m"))).await;
        assert_eq!(response.status, StatusCode::OK, "{base}");
    }
    let base = format!("{}/v1", server.url());
    let gateway = Gateway::before(&base, &[]).await;
    for path in ["/chat/completions", "/v1/chat/completions?a=b"] {
        let response = Program::new("tom")
            .send(gateway.post_to(path, chat("m")))
            .await;
        assert_eq!(response.status, StatusCode::OK, "{path}");
    }
    // At a base URL with a path, the API's routes are known too.
    let part = Api::start().await;
    let base = format!("{}/llm/together/v1", part.url());
    let other = Gateway::before(&base, &[]).await;
    let response = Program::new("tom").send(other.post(chat("m"))).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(part.arrived()[0].path, "/llm/together/v1/chat/completions");
    let lanes = other.lanes().await;
    assert_eq!(lanes.of("chat-completions", Some("m"))["admitted"], 1);

    let models = Program::new("tom").send(gateway.get("/v1/models")).await;
    assert!(models.json().is_array());
}

/// Makes the next response of a server a stream. Returns the sender of its pieces.
fn stream(api: &Api) -> Pieces {
    let (events, body) = program::channel();
    let response = Response::builder().header("content-type", "text/event-stream");
    api.will_respond(response.body(body).unwrap());
    events
}

/// The next event of a stream.
async fn event(response: &mut Open) -> Option<String> {
    let event = timeout(PATIENCE, response.event()).await;
    event.expect("the stream goes on")
}

/// The server sends each event when the one before it has arrived.
#[tokio::test]
async fn a_response_streams_through_as_it_comes() {
    let api = Api::start().await;
    for flags in [&[][..], &["--http2"]] {
        let gateway = Gateway::before(&api.url(), flags).await;
        let mut events = stream(&api);
        let mut response = Program::new("tom").open(gateway.post(streamed("m"))).await;
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        for sent in ["data: 1\n\n", "data: 2\n\n", "data: [DONE]\n\n"] {
            events.send(sent).await;
            let arrived = event(&mut response).await;
            assert_eq!(arrived.as_deref(), Some(sent.trim_end()), "{flags:?}");
        }
        drop(events);
        assert_eq!(event(&mut response).await, None);
    }
}

#[tokio::test]
async fn programs_are_served_in_turn() {
    let api = Api::start().await;
    api.holds();
    // One at a time, so that they arrive in the order in which they leave.
    let flags = [
        "--max-streams",
        "1",
        "--limit",
        "chat-completions=60000",
        "--max-wait",
        "600",
    ];
    let gateway = Gateway::before(&api.url(), &flags).await;
    let post = |program: &'static str| {
        let mut request = gateway.post(chat("m"));
        let name = HeaderValue::from_static(program);
        request.headers_mut().insert("x-request-id", name);
        let program = Program::new(program);
        async move { program.send(request).await.status }
    };
    let mut many: JoinSet<_> = (0..40).map(|_| post("hasty")).collect();
    let waiting = async |requests| gateway.lanes().await.waiting() == requests;
    until("all wait but the first", async || waiting(39).await).await;
    let two = tokio::spawn(join_all([post("modest"), post("modest")]));
    until("these do too", async || waiting(41).await).await;

    api.lets_go(5);
    until("five more have left", async || api.arrived().len() == 6).await;
    let order = api.arrived().into_iter();
    let order: Vec<_> = order
        .map(|one| one.headers["x-request-id"].clone())
        .collect();
    let turns = |program: &str| order[1..5].iter().filter(|name| *name == program).count();
    assert_eq!((turns("hasty"), turns("modest")), (2, 2), "{order:?}");
    assert_eq!(two.await.unwrap(), [StatusCode::OK; 2]);
    until("one program is left", async || {
        gateway.lanes().await["open"]["callers"] == 1
    })
    .await;
    // That many hang up at once.
    many.shutdown().await;
    until("all have left", async || gateway.lanes().await.is_quiet()).await;
    assert!(api.arrived().len() < 42);
}

#[tokio::test]
async fn a_program_that_hangs_up_leaves_the_queue() {
    let server = stand_in().await;
    // Its turn would come after a minute.
    let flags = ["--limit", "embeddings=1", "--max-wait", "600"];
    let gateway = Gateway::before(&server.url(), &flags).await;
    let program = Program::new("tom");
    let embed = || gateway.post_to("/v1/embeddings", program::embed("m"));
    assert_eq!(program.send(embed()).await.status, StatusCode::OK);
    let waiting = tokio::spawn({
        let (program, request) = (program.clone(), embed());
        async move { program.send(request).await }
    });
    until("it waits", || async {
        gateway.lanes().await.waiting() == 1
    })
    .await;
    waiting.abort();
    until("it has left", || async { gateway.lanes().await.is_quiet() }).await;
    assert_eq!(server.stats().arrived, 1);
}

#[tokio::test]
async fn a_program_that_hangs_up_while_its_call_is_under_way_frees_its_slot() {
    let api = Api::start().await;
    api.holds();
    let gateway = Gateway::before(&api.url(), &["--max-streams", "1"]).await;
    let send = || {
        let request = gateway.post(chat("m"));
        tokio::spawn(async { Program::new("tom").send(request).await.status })
    };
    let first = send();
    until("it is under way", async || api.arrived().len() == 1).await;
    first.abort();
    let second = send();
    until("the slot is free", async || api.arrived().len() == 2).await;
    api.lets_go(2);
    assert_eq!(second.await.unwrap(), StatusCode::OK);
}

#[tokio::test]
async fn what_cannot_be_served_in_time_is_rejected_in_the_apis_shape() {
    let server = stand_in().await;
    let flags = ["--limit", "chat-completions=1", "--max-wait", "5"];
    let gateway = Gateway::before(&server.url(), &flags).await;
    let program = Program::new("tom");
    assert_eq!(
        program.send(gateway.post(chat("m"))).await.status,
        StatusCode::OK
    );
    let rejected = program.send(gateway.post(chat("m"))).await;
    assert_eq!(rejected.status, StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = rejected.header("retry-after").parse().unwrap();
    assert!((6..=61).contains(&seconds), "{seconds}");
    let error = &rejected.json()["error"];
    assert_eq!(error["code"], "max_wait");
    assert!(
        error["message"].is_string() && error["type"].is_string(),
        "{error}"
    );
    assert_eq!(server.stats().arrived, 1);
}

/// A slow upload, or a program that sends its body slowly, holds no place and no slot.
#[tokio::test]
async fn a_body_that_comes_slowly_holds_nothing() {
    let server = stand_in().await;
    let gateway = Gateway::before(&server.url(), &["--max-streams", "1"]).await;
    let (mut slow, body) = program::channel();
    slow.send(r#"{"model":"m","#).await;
    let request = gateway.post_to("/v1/chat/completions", body);
    let dawdler = tokio::spawn(async move { Program::new("slow").send(request).await });
    until("it has come", || async {
        gateway.lanes().await["open"]["calls"] == 1
    })
    .await;
    let response = Program::new("tom").send(gateway.post(chat("m"))).await;
    assert_eq!(response.status, StatusCode::OK);
    slow.send(r#""messages":[]}"#).await;
    drop(slow);
    assert_eq!(dawdler.await.unwrap().status, StatusCode::OK);
    // The body was sent in chunks, and its model was still read.
    assert_eq!(
        gateway.lanes().await.of("chat-completions", Some("m"))["admitted"],
        2
    );
}

#[tokio::test]
async fn a_body_too_long_to_read_ahead_arrives_whole() {
    let server = Api::start().await;
    let gateway = Gateway::before(&server.url(), &[]).await;
    let text = "a ".repeat(1_500_000);
    let body = format!(r#"{{"model":"m","input":"{text}"}}"#);
    let response = Program::new("tom")
        .send(gateway.post_to("/v1/embeddings", body.clone()))
        .await;
    assert_eq!(response.status, StatusCode::OK);
    let [arrived] = &server.arrived()[..] else {
        panic!("one request")
    };
    assert!(arrived.body == body, "{} bytes", arrived.body.len());
    assert_eq!(arrived.headers["content-length"], body.len().to_string());
}

#[tokio::test]
#[ignore = "long: ./check --all runs it"]
async fn an_api_that_is_not_there_is_said() {
    let server = stand_in().await;
    let gateway = Gateway::before(&server.url(), &[]).await;
    drop(server);
    // Tried five times, which takes up to 15 s.
    let response = Program::new("tom").send(gateway.post(chat("m"))).await;
    assert_eq!(response.status, StatusCode::BAD_GATEWAY);
    let error = &response.json()["error"];
    assert_eq!(error["code"], "upstream_unreachable");
    assert_eq!(response.header("x-should-retry"), "false");
    assert!(
        error["message"].as_str().unwrap().contains("refused"),
        "{error}"
    );
}
