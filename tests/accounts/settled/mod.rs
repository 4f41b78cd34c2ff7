//! One request at a time: its charge, and what remains of the charge after the response.

mod expected;

use std::{
    convert::Infallible,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use expected::each_charged;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::json;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, Rejected, TogetherRateLimitLayer,
    body::{ReplayBuffer, RequestBody},
    extension::Cost,
    limiter::Measure,
};

const CHAT: &str = "https://api.together.ai/v1/chat/completions";
const EMBEDDINGS: &str = "https://api.together.ai/v1/embeddings";
const QUOTA: u64 = 100_000;

/// An unpaced quota shows the charge to the token.
fn limits() -> Limits {
    let quota = Quota::per_minute(QUOTA).unwrap().unpaced();
    Limits::none()
        .tokens(Endpoint::ChatCompletions, quota)
        .tokens(Endpoint::Embeddings, quota)
}

/// Counts words, so that the charge is readable: a prompt of `n` words, with the markers around it, is charged `n + 9`.
fn layer(limits: Limits) -> TogetherRateLimitLayer {
    TogetherRateLimitLayer::new(limits).with_tokenizer(|_, text| text.split(' ').count() as u64)
}

fn charged(limiter: &Limiter) -> u64 {
    let lanes = limiter.snapshot().lanes;
    let limits = lanes.into_iter().flat_map(|lane| lane.limits);
    let tokens = limits.filter(|limit| limit.measure == Measure::Tokens);
    tokens
        .map(|limit| limit.max - limit.left)
        .max()
        .unwrap_or(0)
}

fn slots(limiter: &Limiter) -> u64 {
    let lane = limiter.snapshot().lanes.remove(0);
    let mut limits = lane.limits.into_iter();
    limits
        .find(|limit| limit.measure == Measure::InFlight)
        .unwrap()
        .left
}

/// The charge for an expected number of tokens, which is 1 % higher.
fn dear(tokens: u64) -> u64 {
    tokens + tokens.div_ceil(100)
}

fn chat(more: serde_json::Value) -> Request<Full<Bytes>> {
    let mut body = json!({"messages": [{"role": "user", "content": "one two three"}]});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    Request::post(CHAT)
        .body(Full::from(body.to_string()))
        .unwrap()
}

fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::from(body.to_owned())).unwrap()
}

/// The tokens that stay charged for a request of 100 tokens in all after `response` was read.
async fn after(response: Response<Full<Bytes>>) -> u64 {
    let layer = layer(limits());
    let response = Arc::new(response);
    let service = layer.layer(service_fn(move |_: Request<Full<Bytes>>| {
        let response = Response::clone(&response);
        async { Ok::<_, Infallible>(response) }
    }));
    let request = chat(json!({"max_tokens": 87}));
    let response = service.oneshot(request).await.unwrap();
    let response = response.into_body().collect().await.unwrap();
    drop(response);
    charged(layer.limiter())
}

const JSON: (&str, &str) = ("content-type", "application/json");
const EVENTS: (&str, &str) = ("content-type", "text/event-stream;charset=utf-8");
const USAGE: &str =
    r#"{"choices":[],"usage":{"prompt_tokens":200,"completion_tokens":100,"total_tokens":300}}"#;
const LITTLE: &str = r#"{"usage":{"prompt_tokens":9,"completion_tokens":1}}"#;

#[tokio::test(start_paused = true)]
async fn what_a_response_says_is_settled_both_ways() {
    let stream = format!("data: {{\"usage\":null}}\n\ndata: {USAGE}\n\ndata: [DONE]\n\n");
    let expected = dear(99);
    for (status, headers, body, left) in [
        (200, vec![JSON], USAGE, dear(300)),
        (200, vec![JSON], LITTLE, dear(10)),
        (200, vec![], USAGE, dear(300)),
        (200, vec![EVENTS], &stream, dear(300)),
        // The usage is missing or unreadable: the expected charge stands.
        (200, vec![JSON], "{}", expected),
        (200, vec![JSON], "", expected),
        (200, vec![("content-type", "text/html")], USAGE, expected),
        (
            200,
            vec![JSON, ("content-encoding", "gzip")],
            USAGE,
            expected,
        ),
        // The request was rejected, or not looked at.
        (429, vec![JSON], "{}", 0),
        (429, vec![JSON], USAGE, 0),
        (400, vec![JSON], "{}", 0),
        (400, vec![JSON], USAGE, dear(300)),
        (422, vec![], "", 0),
        // It is unknown how far the request got.
        (408, vec![JSON], "{}", expected),
        (500, vec![JSON], "{}", expected),
        (503, vec![], "", expected),
        (503, vec![JSON], LITTLE, dear(10)),
        (200, vec![("grpc-status", "8")], "", 0),
        (200, vec![("grpc-status", "14")], "", expected),
    ] {
        assert_eq!(
            after(response(status, &headers, body)).await,
            left,
            "{status} {body}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_ends_early_keeps_what_is_known() {
    let pieces = [
        "data: {\"usage\":null}\n\n".to_owned(),
        format!("data: {USAGE}\n\n"),
        "data".to_owned(),
    ];
    for (read, fails, left) in [
        (1, false, dear(99)),
        (1, true, dear(99)),
        (2, false, dear(300)),
        (2, true, dear(300)),
    ] {
        let layer = layer(limits().in_flight(Endpoint::ChatCompletions, NonZeroU32::MIN));
        let pieces = pieces.clone();
        let service = layer.layer(service_fn(move |_: Request<Full<Bytes>>| {
            let frames: Vec<_> = pieces
                .iter()
                .enumerate()
                .map(|(index, piece)| match index {
                    index if index == read && fails => Err("reset"),
                    _ => Ok(Frame::data(Bytes::from(piece.clone()))),
                })
                .collect();
            let body = StreamBody::new(futures::stream::iter(frames));
            let response = Response::builder().header(EVENTS.0, EVENTS.1);
            async { Ok::<_, Infallible>(response.body(body).unwrap()) }
        }));
        let response = service
            .oneshot(chat(json!({"max_tokens": 87})))
            .await
            .unwrap();
        let mut body = response.into_body();
        for _ in 0..read {
            body.frame().await.unwrap().unwrap();
        }
        // It is settled at the end, not before; and the slot is given back then.
        assert_eq!(slots(layer.limiter()), 0);
        assert_eq!(charged(layer.limiter()), dear(99));
        if fails {
            body.frame().await.unwrap().unwrap_err();
            assert_eq!(charged(layer.limiter()), left);
        }
        drop(body);
        assert_eq!(charged(layer.limiter()), left);
        assert_eq!(slots(layer.limiter()), 1);
    }
}

/// A body that counts how often it is read.
#[derive(Clone)]
struct Looked(Full<Bytes>, Arc<AtomicU32>);

impl RequestBody for Looked {
    type Again = ();

    fn peek<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.peek(read)
    }

    fn replayable(self, _: &ReplayBuffer) -> (Self, ()) {
        (self, ())
    }

    fn again((): &()) -> Option<Self> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_tokens_are_counted_nothing_is_read() {
    let quota = Quota::per_minute(QUOTA).unwrap().unpaced();
    let requests = Limits::none().requests(Endpoint::ChatCompletions, quota);
    let elsewhere = requests.clone().tokens(Endpoint::Embeddings, quota);
    let slow = Limits::none().tokens(Endpoint::ChatCompletions, quota);
    let another = requests.clone().for_model("slow", slow);
    let exempt = requests
        .clone()
        .tokens(Endpoint::ChatCompletions, quota)
        .exempt("m");
    for (limits, read) in [
        (requests, false),
        (elsewhere, false),
        (another, false),
        (exempt, false),
        (limits(), true),
    ] {
        // A tokenizer is told the model, which is looked for first. The estimate needs no second look.
        let once = TogetherRateLimitLayer::new(limits.clone());
        for (layer, looked) in [(layer(limits), 1 + u32::from(read)), (once, 1)] {
            let looks = Arc::new(AtomicU32::new(0));
            let mut service = layer.layer(service_fn(|_: Request<Looked>| async {
                Ok::<_, Infallible>(response(200, &[JSON], USAGE))
            }));
            let request =
                || chat(json!({"model": "m"})).map(|body| Looked(body, Arc::clone(&looks)));
            let response = service
                .ready()
                .await
                .unwrap()
                .call(request())
                .await
                .unwrap();
            assert_eq!(looks.load(Ordering::Relaxed), looked);
            let reads = |body| format!("{body:?}").contains("is_read: true");
            assert_eq!(reads(response.body()), read);
            // The body is not read either if the caller states the cost.
            let mut costly = request();
            costly.extensions_mut().insert(Cost::of_tokens(5));
            let response = service.ready().await.unwrap().call(costly).await.unwrap();
            assert_eq!(reads(response.body()), read);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_quota_put_in_force_later_counts_from_then_on() {
    let quota = Quota::per_minute(QUOTA).unwrap().unpaced();
    let layer = layer(Limits::none().requests(Endpoint::ChatCompletions, quota));
    assert_eq!(each_charged(&layer, vec![(chat(json!({})), 1)]).await, [0]);
    layer.limiter().set_limits(limits());
    assert_eq!(
        each_charged(&layer, vec![(chat(json!({})), 1)]).await,
        [dear(268)]
    );
    layer.limiter().set_limits(Limits::none());
    assert_eq!(each_charged(&layer, vec![(chat(json!({})), 1)]).await, [0]);
}

#[tokio::test(start_paused = true)]
async fn what_another_limiter_beneath_rejects_has_cost_nothing() {
    let outer = layer(limits());
    let beneath = Limiter::new(limits());
    beneath.close();
    let client = service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(response(200, &[JSON], USAGE))
    });
    let service = outer.layer(TogetherRateLimitLayer::from(beneath).layer(client));
    let response = service.oneshot(chat(json!({}))).await.unwrap();
    assert!(response.extensions().get::<Rejected>().is_some());
    assert_eq!(charged(outer.limiter()), 0);
}

/// A 429 about tokens pauses the lane, and does not change its pace.
#[tokio::test(start_paused = true)]
async fn too_many_tokens_are_not_too_many_requests() {
    let quota = Quota::per_minute(600).unwrap();
    let layer =
        TogetherRateLimitLayer::new(Limits::none().requests(Endpoint::ChatCompletions, quota));
    let sent = Arc::new(AtomicU32::new(0));
    let service = layer.layer(service_fn(move |_: Request<Full<Bytes>>| {
        let rejected = sent.fetch_add(1, Ordering::Relaxed) == 50;
        let error = r#"{"error":{"message":"m","type":"dynamic_token_limited"}}"#;
        let response = match rejected {
            true => response(429, &[JSON, ("retry-after", "1")], error),
            false => response(200, &[JSON], "{}"),
        };
        async { Ok::<_, Infallible>(response) }
    }));
    let start = Instant::now();
    for _ in 0..400 {
        service.clone().oneshot(chat(json!({}))).await.unwrap();
    }
    // 40 s, the pause, and 8 s at down to half its pace.
    assert!(start.elapsed().as_secs() <= 45, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_quota_of_one_endpoint_counts_for_that_endpoint_alone() {
    let quota = Quota::per_minute(QUOTA).unwrap().unpaced();
    for (endpoint, charge) in [
        (Endpoint::ChatCompletions, dear(268)),
        (Endpoint::Embeddings, 0),
    ] {
        let layer = layer(Limits::none().tokens(endpoint, quota));
        let charges = each_charged(&layer, vec![(chat(json!({})), 1)]).await;
        assert_eq!(charges, [charge], "{endpoint:?}");
    }
}

/// Requests are sent one at a time, and each response takes a second. At a hundred tokens a second, the 268 tokens of
/// each delay the next one by more than two seconds.
#[tokio::test(start_paused = true)]
async fn tokens_count_once_the_server_names_a_limit_for_requests_that_wait_too() {
    for wait in [false, true] {
        let slot = Limits::none().in_flight(Endpoint::ChatCompletions, NonZeroU32::MIN);
        let service = layer(slot).layer(service_fn(|_: Request<Full<Bytes>>| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, Infallible>(response(200, &[JSON, ("x-tokenlimit-limit", "100")], "{}"))
        }));
        let send = async || {
            let response = service.clone().oneshot(chat(json!({}))).await.unwrap();
            response.into_body().collect().await.unwrap();
        };
        let start = Instant::now();
        if wait {
            tokio::join!(send(), send(), send());
        } else {
            send().await;
            send().await;
            send().await;
        }
        let seconds = start.elapsed().as_secs();
        assert!((4..=6).contains(&seconds), "{wait}: {seconds}");
    }
}
