//! How rejections look, what can be scripted, how long responses take.

mod common;

use std::time::Duration;

use common::{Caller, MINUTE, chat, quick};
use serde_json::json;
use together_standin::{Answer, Headers, Limit, Route, Rules, StandIn};
use tokio::time::Instant;

const PATH: &str = "/v1/chat/completions";
const NAMES: [&str; 5] = [
    "retry-after",
    "x-ratelimit",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

/// The rate limit headers of an accepted call and of the rejected one after it.
async fn headers(headers: Headers, limit: Limit) -> [[Option<String>; 5]; 2] {
    let rules = Rules::none().limit(Route::Chat, limit);
    let builder = quick().rules(rules).headers(headers);
    let server = builder.start().await.unwrap();
    let caller = Caller::new(&server);
    let good = caller.post(PATH, &chat()).await;
    let rejected = caller.post(PATH, &chat()).await;
    let kind = "dynamic_request_limited".to_owned();
    assert_eq!(rejected.error(), (429, kind, None));
    let message = rejected.json()["error"]["message"].clone();
    assert!(
        message
            .as_str()
            .unwrap()
            .starts_with("You have been rate limited. ")
    );
    [good, rejected].map(|got| NAMES.map(|name| got.header(name).map(str::to_owned)))
}

fn some(values: [&str; 5]) -> [Option<String>; 5] {
    values.map(|value| Some(value.to_owned()).filter(|value| !value.is_empty()))
}

#[tokio::test(start_paused = true)]
async fn a_rejection_carries_the_headers_seen_on_the_wire() {
    // 1.2 requests a minute: the rate of a model once seen with these headers.
    let limit = Limit::sliding(1, Duration::from_secs(50));
    let [good, rejected] = headers(Headers::On429, limit).await;
    assert_eq!(good, some([""; 5]));
    assert_eq!(rejected, some(["50", "true", "0.02", "0", "50"]));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_can_be_bare() {
    let limit = Limit::sliding(1, MINUTE);
    let got = headers(Headers::Never, limit).await;
    assert_eq!(got, [some([""; 5]), some([""; 5])]);
}

#[tokio::test(start_paused = true)]
async fn successes_can_carry_headers_too() {
    let limit = Limit::gcra(6, MINUTE, 1);
    let [good, rejected] = headers(Headers::Always, limit).await;
    assert_eq!(good, some(["", "", "0.1", "0", "10"]));
    assert_eq!(rejected, some(["10", "true", "0.1", "0", "10"]));
}

#[tokio::test(start_paused = true)]
async fn what_is_told_is_the_tightest_limit() {
    for (own, shared) in [(60, 30), (30, 60)] {
        let rules = Rules::none()
            .limit(Route::Chat, Limit::fixed(own, MINUTE))
            .shared(&[Route::Chat, Route::Images], Limit::fixed(shared, MINUTE));
        let builder = quick().rules(rules).headers(Headers::Always);
        let server = builder.start().await.unwrap();
        let got = Caller::new(&server).post(PATH, &chat()).await;
        assert_eq!(got.header("x-ratelimit-limit"), Some("0.5"));
        assert_eq!(got.header("x-ratelimit-remaining"), Some("29"));
        assert_eq!(got.header("x-ratelimit-reset"), Some("0"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_script_goes_before_all_else_and_is_used_up() {
    let rules = Rules::none().limit(Route::Chat, Limit::fixed(1, MINUTE));
    let server = quick().rules(rules).start().await.unwrap();
    let caller = Caller::new(&server);
    let html = Answer::status(503)
        .header("retry-after", 1)
        .header("content-type", "text/html")
        .header("x-request-id", "mine")
        .body("<html>overloaded");
    server.script("POST", "/chat/completions", html.times(3));
    server.script("POST", PATH, Answer::status(502));
    for _ in 0..3 {
        // Without a key: a script does not look at it.
        let got = caller.send("POST", PATH, None, String::new()).await;
        assert_eq!(got.status, 503);
        assert_eq!(got.header("retry-after"), Some("1"));
        assert_eq!(got.header("content-type"), Some("text/html"));
        assert_eq!(got.header("x-request-id"), Some("mine"));
        assert_eq!(got.body, "<html>overloaded");
    }
    let got = caller.post("/v2/chat/completions", &chat()).await;
    assert_eq!(got.status, 502);
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert!(got.header("x-request-id").is_some());
    // Nothing was consumed.
    assert_eq!(caller.post(PATH, &chat()).await.status, 200);
    assert_eq!(caller.post(PATH, &chat()).await.status, 429);
}

#[tokio::test]
async fn other_routes_respond_as_scripted() {
    let server = quick().start().await.unwrap();
    let caller = Caller::new(&server);
    let job = json!({"job": {"id": "b", "status": "VALIDATING"}});
    let created = Answer::status(201).body(job.to_string());
    server.script(http::Method::POST, "/v1/rerank", created);
    let got = caller.post("/rerank", &json!({})).await;
    assert_eq!((got.status.as_u16(), got.json()), (201, job));
    assert_eq!(caller.post("/rerank", &json!({})).await.status, 404);
    assert_eq!(caller.get("/rerank").await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn responses_take_their_time() {
    let took = async |server: &StandIn, path| {
        let caller = Caller::new(server);
        let since = Instant::now();
        caller.post(path, &chat()).await;
        since.elapsed().as_millis()
    };
    let latency = Duration::from_millis(40)..=Duration::from_millis(60);
    let server = StandIn::builder().latency(latency).start().await.unwrap();
    // Timers round up to a whole millisecond.
    assert!((40..=61).contains(&took(&server, PATH).await));
    let slow = Answer::status(200).delay(Duration::from_millis(150));
    server.script("POST", "/slow", slow);
    assert_eq!(took(&server, "/slow").await, 150);
    let default = StandIn::start().await.unwrap();
    assert!((2..=21).contains(&took(&default, PATH).await));
}
