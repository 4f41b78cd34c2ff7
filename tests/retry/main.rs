//! The retry layer, in virtual time.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod budgets;
mod creates;
mod deadlines;
mod hook;
mod late;
mod replay_buffer;
mod settings;
mod shares;
mod timeouts;
mod verdicts;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use testing::{
    exact,
    script::{Reply, Script, status},
};
use tokio::time::Instant;
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_together::{
    ApiError, Classify, TogetherRetryLayer,
    extension::{Deadline, Failure, Retries, RetryReport},
};

const CHAT: &str = "/v1/chat/completions";
const FINE_TUNES: &str = "/v1/fine-tunes";
const OVERLOADED: &str = r#"{"error":{"message":"The server is overloaded"}}"#;

fn request(method: Method, path: &str) -> Request<Full<Bytes>> {
    let uri = format!("https://api.together.ai{path}");
    let request = Request::builder().method(method).uri(uri);
    request.body(Full::from("{}")).unwrap()
}

fn post(path: &str) -> Request<Full<Bytes>> {
    request(Method::POST, path)
}

/// A chat request with this extension.
fn with<T: Clone + Send + Sync + 'static>(said: T) -> Request<Full<Bytes>> {
    let mut request = post(CHAT);
    request.extensions_mut().insert(said);
    request
}

fn within(seconds: u64) -> Request<Full<Bytes>> {
    with(Deadline::within(Duration::from_secs(seconds)))
}

/// Sends one request through the retry layer alone. Returns the time of each attempt, and the result.
async fn send(
    layer: &TogetherRetryLayer,
    request: Request<Full<Bytes>>,
    replies: impl IntoIterator<Item = Reply>,
) -> (Vec<u128>, Result<u16, BoxError>) {
    let script = Script::new(replies);
    let response = layer.layer(script.client()).oneshot(request).await;
    (
        script.millis(),
        response.map(|response| response.status().as_u16()),
    )
}

/// The waits that a seed draws, in milliseconds, as Tokio's timer rounds them.
fn drawn(seed: u64, ceilings: &[u64]) -> Vec<u128> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut at = Duration::ZERO;
    let mut instants = vec![0];
    for seconds in ceilings {
        at += Duration::from_secs(*seconds).mul_f64(random.f64());
        at = Duration::from_millis(u64::try_from(at.as_nanos().div_ceil(1_000_000)).unwrap());
        instants.push(at.as_millis());
    }
    instants
}

#[tokio::test(start_paused = true)]
async fn a_request_says_how_often_and_until_when() {
    let busy = || vec![status(429).header("retry-after", 10); 9];
    let sent = async |request| send(&exact(), request, busy()).await.0;
    assert_eq!(sent(post(CHAT)).await.len(), 5);
    assert_eq!(sent(with(Retries::off())).await.len(), 1);
    assert_eq!(sent(with(Retries::at_most(2))).await.len(), 3);
    assert_eq!(sent(with(Retries::unlimited())).await.len(), 10);

    // The call ends at the deadline: a longer wait does not begin.
    assert_eq!(sent(within(25)).await, [0, 10_000, 20_000]);
    assert_eq!(sent(within(10)).await, [0]);
    let mut told = post(CHAT);
    told.headers_mut()
        .insert("x-stainless-timeout", "15".parse().unwrap());
    assert_eq!(sent(told).await, [0, 10_000]);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_left_at_comes_whole_and_at_once() {
    let body = r#"{"error":{"message":"slow down","type":"dynamic_request_limited"}}"#;
    let script = Script::new([status(429).header("retry-after", 9).body(body)]);
    let start = Instant::now();
    let response = exact()
        .layer(script.client())
        .oneshot(within(5))
        .await
        .unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    let error = response.extensions().get::<ApiError>().unwrap();
    assert_eq!(error.kind(), Some("dynamic_request_limited"));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(9)));
    assert!(response.extensions().get::<RetryReport>().is_none());
    let whole = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(whole, body);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_the_original_and_the_report_tells_of_them() {
    let script = Script::new([
        status(429).header("retry-after", 2),
        status(503).header("retry-after", 3),
        Reply::Refused,
    ]);
    let client = script.client();
    // An inner service writes into its own copy.
    let beneath = service_fn(move |mut request: Request<Full<Bytes>>| {
        assert_eq!(request.headers()["x-mine"], "yes");
        assert!(!request.headers().contains_key("x-beneath"));
        assert!(request.extensions().get::<u8>().is_none());
        assert_eq!(request.extensions().get::<&str>(), Some(&"kept"));
        let value = "1".parse().unwrap();
        request.headers_mut().insert("x-beneath", value);
        request.extensions_mut().insert(1u8);
        client.clone().oneshot(request)
    });
    let mut original = post(CHAT);
    original
        .headers_mut()
        .insert("x-mine", "yes".parse().unwrap());
    original.extensions_mut().insert("kept");
    fastrand::seed(4);
    let response = exact().layer(beneath).oneshot(original).await.unwrap();
    assert_eq!(response.status(), 200);

    let attempts: Vec<_> = script.sent().iter().map(|sent| sent.attempt).collect();
    assert_eq!(attempts, [0, 2, 3, 4]);
    let report = response.extensions().get::<RetryReport>().unwrap();
    assert_eq!(report.attempts(), 4);
    let codes = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    let [throttled, busy] = codes.map(Failure::Status);
    assert_eq!(report.failures(), [throttled, busy, Failure::NotSent]);
    // 2 s, 3 s, and the random part of 4 s.
    let waited = report.waited().as_millis();
    assert!((5_000..9_000).contains(&waited), "{waited}");
    assert!(script.millis()[3].abs_diff(waited) <= 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_togethers_is_left_alone() {
    let elsewhere = Classify::together().only_hosts(["other.example"]);
    let layer = exact().with_classify(elsewhere);
    assert_eq!(send(&layer, post(CHAT), [status(503)]).await.0, [0]);
}

#[tokio::test(start_paused = true)]
async fn a_report_is_bounded() {
    let script = Script::new(vec![status(429).header("retry-after", 1); 40]);
    let request = with(Retries::unlimited());
    let response = exact().layer(script.client()).oneshot(request).await;
    let response = response.unwrap();
    let report = response.extensions().get::<RetryReport>().unwrap();
    assert_eq!((report.attempts(), report.failures().len()), (41, 32));
}

/// A service that can never be ready again, such as a `Buffer` whose worker has ended, reports that once.
#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_is_passed_on() {
    let (inner, mut handle) =
        tower_test::mock::pair::<Request<Full<Bytes>>, Response<Full<Bytes>>>();
    handle.send_error("gone");
    let error = exact().layer(inner).oneshot(post(CHAT)).await.unwrap_err();
    assert_eq!(error.to_string(), "gone");
}
