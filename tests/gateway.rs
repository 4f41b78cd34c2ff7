//! The example `gateway`, run as its users run it: a process, programs that call it over real
//! sockets, and the stand-in, or a server that shows what reached it, behind.
#![allow(
    clippy::disallowed_methods,
    reason = "processes and real sockets take real time"
)]

#[path = "gateway/api.rs"]
mod api;
#[path = "gateway/bodies.rs"]
mod bodies;
#[path = "gateway/door.rs"]
mod door;
#[path = "gateway/hang_ups.rs"]
mod hang_ups;
#[path = "gateway/jobs.rs"]
mod jobs;
#[path = "../examples/gateway/mask.rs"]
mod mask;
#[path = "gateway/masks.rs"]
mod masks;
#[path = "gateway/numbers.rs"]
mod numbers;
#[path = "gateway/process.rs"]
mod process;
#[path = "gateway/program.rs"]
mod program;
#[path = "gateway/secrets.rs"]
mod secrets;
#[path = "gateway/start.rs"]
mod start;

use std::{process::Stdio, time::Duration};

use http::StatusCode;
use together_standin::{Rules, StandIn};
use tokio::{process::Command, task::JoinSet, time::Instant};

use process::{Gateway, until};
use program::{Program, chat, streamed};

/// A stand-in without limits of its own, whose streams have this long between their events.
async fn stand_in(chunk_delay: Duration) -> StandIn {
    StandIn::builder()
        .rules(Rules::none())
        .chunk_delay(chunk_delay)
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn without_a_key_it_works_at_once_and_says_what_to_try() {
    let mut gateway = Gateway::start(&[]).await;
    let answer = Program::new("tom").send(gateway.post(chat("m"))).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text().contains("the stand-in speaking."));
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
    let server = stand_in(Duration::ZERO).await;
    for base in ["", "/", "/v1", "/v1/"] {
        let base = format!("{}{base}", server.url());
        let gateway = Gateway::start(&["--base-url", &base]).await;
        let answer = Program::new("tom").send(gateway.post(chat("m"))).await;
        assert_eq!(answer.status, StatusCode::OK, "{base}");
    }
    let base = format!("{}/v1", server.url());
    let gateway = Gateway::start(&["--base-url", &base]).await;
    for path in ["/chat/completions", "/v1/chat/completions?a=b"] {
        let answer = Program::new("tom")
            .send(gateway.post_to(path, chat("m")))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    // Where it is but a part of a server, its routes are known all the same.
    let part = api::Api::start().await;
    let base = format!("{}/llm/together/v1", part.url());
    let other = Gateway::start(&["--base-url", &base]).await;
    let answer = Program::new("tom").send(other.post(chat("m"))).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(part.arrived()[0].path, "/llm/together/v1/chat/completions");
    let lanes = other.lanes().await;
    assert_eq!(lanes.of("chat-completions", Some("m"))["admitted"], 1);

    let models = Program::new("tom").send(gateway.get("/v1/models")).await;
    assert!(models.json().is_array());
}

#[tokio::test]
async fn an_answer_streams_through_as_it_comes() {
    for http2 in [false, true] {
        let server = stand_in(Duration::from_millis(300)).await;
        let flags: &[&str] = if http2 { &["--http2"] } else { &[] };
        let gateway = Gateway::before(&server, flags).await;
        let begun = Instant::now();
        let mut answer = Program::new("tom").open(gateway.post(streamed("m"))).await;
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        let mut arrivals = Vec::new();
        while let Some(event) = answer.event().await {
            arrivals.push((begun.elapsed(), event));
        }
        // Seven events are six pauses; had they been kept, all would have come with the last.
        assert_eq!(arrivals.len(), 7, "{arrivals:?}");
        let (first, last) = (arrivals[0].0, arrivals[6].0);
        assert!(last - first >= Duration::from_millis(1_500), "{arrivals:?}");
        assert!(arrivals[6].1.contains("[DONE]"));
    }
}

#[tokio::test]
async fn programs_are_served_in_turn() {
    let server = stand_in(Duration::ZERO).await;
    // Five a second.
    let gateway = Gateway::before(&server, &["--limit", "chat-completions=300"]).await;
    let (hasty, modest) = (Program::new("hasty"), Program::new("modest"));
    let mut many = JoinSet::new();
    for _ in 0..40 {
        let (hasty, request) = (hasty.clone(), gateway.post(chat("m")));
        many.spawn(async move { hasty.send(request).await.status });
    }
    until("the queue is there", || async {
        gateway.lanes().await.waiting() >= 30
    })
    .await;
    let begun = Instant::now();
    let two = [gateway.post(chat("m")), gateway.post(chat("m"))].map(|one| modest.send(one));
    let answers = futures::future::join_all(two).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    // In line behind the others it would be the sixth second.
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    assert!(gateway.lanes().await.waiting() >= 10);
    assert_eq!(gateway.lanes().await["open"]["callers"], 1);
    // That many hang up at once.
    many.shutdown().await;
    until("all have left", || async {
        gateway.lanes().await.is_quiet()
    })
    .await;
    assert!(server.stats().arrived < 40);
}

#[tokio::test]
async fn a_program_that_hangs_up_leaves_the_queue() {
    let server = stand_in(Duration::ZERO).await;
    let gateway = Gateway::before(&server, &["--limit", "embeddings=6"]).await;
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
async fn what_cannot_be_served_in_time_is_refused_in_the_apis_shape() {
    let server = stand_in(Duration::ZERO).await;
    let flags = ["--limit", "chat-completions=6", "--max-wait", "5"];
    let gateway = Gateway::before(&server, &flags).await;
    let program = Program::new("tom");
    assert_eq!(
        program.send(gateway.post(chat("m"))).await.status,
        StatusCode::OK
    );
    let begun = Instant::now();
    let refused = program.send(gateway.post(chat("m"))).await;
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((6..=11).contains(&seconds), "{seconds}");
    let error = &refused.json()["error"];
    assert_eq!(error["code"], "max_wait");
    assert!(
        error["message"].is_string() && error["type"].is_string(),
        "{error}"
    );
    assert_eq!(server.stats().arrived, 1);
}

/// Neither an upload nor a program that dawdles over its body holds a place or a slot.
#[tokio::test]
async fn a_body_that_comes_slowly_holds_nothing() {
    let server = stand_in(Duration::ZERO).await;
    let gateway = Gateway::before(&server, &["--max-streams", "1"]).await;
    let (mut slow, body) = program::channel();
    slow.send(r#"{"model":"m","#).await;
    let request = gateway.post_to("/v1/chat/completions", body);
    let dawdler = tokio::spawn(async move { Program::new("slow").send(request).await });
    until("it has come", || async {
        gateway.lanes().await["open"]["calls"] == 1
    })
    .await;
    let answer = Program::new("tom").send(gateway.post(chat("m"))).await;
    assert_eq!(answer.status, StatusCode::OK);
    slow.send(r#""messages":[]}"#).await;
    drop(slow);
    assert_eq!(dawdler.await.unwrap().status, StatusCode::OK);
    // Sent in chunks, and its model was read all the same.
    assert_eq!(
        gateway.lanes().await.of("chat-completions", Some("m"))["admitted"],
        2
    );
}

#[tokio::test]
async fn a_body_too_long_to_read_ahead_arrives_whole() {
    let server = api::Api::start().await;
    let gateway = Gateway::start(&["--base-url", &server.url()]).await;
    let text = "a ".repeat(1_500_000);
    let body = format!(r#"{{"model":"m","input":"{text}"}}"#);
    let answer = Program::new("tom")
        .send(gateway.post_to("/v1/embeddings", body.clone()))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    let [arrived] = &server.arrived()[..] else {
        panic!("one request")
    };
    assert!(arrived.body == body, "{} bytes", arrived.body.len());
    assert_eq!(arrived.headers["content-length"], body.len().to_string());
}

#[tokio::test]
#[ignore = "long: ./check --all runs it"]
async fn an_api_that_is_not_there_is_said() {
    let server = stand_in(Duration::ZERO).await;
    let gateway = Gateway::before(&server, &[]).await;
    drop(server);
    // Tried five times, which takes up to 15 s.
    let answer = Program::new("tom").send(gateway.post(chat("m"))).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let error = &answer.json()["error"];
    assert_eq!(error["code"], "upstream_unreachable");
    assert!(
        error["message"].as_str().unwrap().contains("refused"),
        "{error}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn when_it_ends_calls_under_way_are_answered_and_those_who_wait_are_told() {
    let server = stand_in(Duration::from_millis(200)).await;
    let gateway = Gateway::before(&server, &["--max-streams", "1"]).await;
    let program = Program::new("tom");
    let mut answer = program.open(gateway.post(streamed("m"))).await;
    answer.event().await.unwrap();
    let waiting = tokio::spawn({
        let request = gateway.post(streamed("m"));
        async move { Program::new("ann").send(request).await }
    });
    until("it waits", || async {
        gateway.lanes().await.waiting() == 1
    })
    .await;
    let kill = Command::new("kill")
        .args(["-INT", &gateway.id().to_string()])
        .stdout(Stdio::null())
        .status();
    assert!(kill.await.unwrap().success());
    let told = waiting.await.unwrap();
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(told.json()["error"]["code"], "closed");
    let mut last = String::new();
    while let Some(event) = answer.event().await {
        last = event;
    }
    assert!(last.contains("[DONE]"), "{last}");
    assert_eq!(gateway.ended().await, Some(0));
}
