//! `Call::of` reads the same from a request as the layer.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use simulation::counter::{Counter, Kind};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{
    Classify, Limiter, Limits, Quota, TogetherRateLimitLayer,
    body::RequestBody,
    extension::{ApiKey, Attempt, Caller, Cost, Deadline, Model},
    limiter::{Call, LaneSnapshot, Reason},
};

use super::CHAT;

const KEY: &str = "Bearer a-key";

fn embed() -> Request<Full<Bytes>> {
    request("https://api.together.ai/v1/embeddings", INPUT)
}

fn request(url: &str, json: &'static str) -> Request<Full<Bytes>> {
    let request = Request::post(url).header("authorization", KEY);
    request.body(Full::from(json)).unwrap()
}

const INPUT: &str = r#"{"model":"m","input":"one two three"}"#;

/// Counts embeddings by key and model as strictly as a server may: an even second or a bucket.
#[derive(Clone)]
struct Strict(Arc<Mutex<Counter>>, Instant);

impl Strict {
    fn new(kind: Kind) -> Self {
        let counter = Counter::new(kind, PER_SECOND, &mut fastrand::Rng::with_seed(7));
        Self(Arc::new(Mutex::new(counter)), Instant::now())
    }

    fn status(&self) -> StatusCode {
        let (mut counter, now) = (self.0.lock().unwrap(), self.1.elapsed());
        counter.pass(now, PER_SECOND);
        if !counter.wait(now, PER_SECOND).is_zero() {
            return StatusCode::TOO_MANY_REQUESTS;
        }
        counter.take(now, 1.0);
        StatusCode::OK
    }
}

const PER_SECOND: f64 = 5.0;

/// By hand they used the anonymous key, and twice the limit was sent: 4 of 22 got a 429.
#[tokio::test(start_paused = true)]
async fn calls_by_hand_and_by_the_layer_share_one_limit() {
    for kind in [
        Kind::FixedSecond,
        Kind::FixedMinute,
        Kind::Bucket,
        Kind::SlidingMinute,
    ] {
        let (limiter, server) = (Limiter::default(), Strict::new(kind));
        let responses = server.clone();
        let service = TogetherRateLimitLayer::from(limiter.clone()).layer(service_fn(
            move |_: Request<Full<Bytes>>| {
                let mut response = Response::new(Empty::<Bytes>::new());
                *response.status_mut() = responses.status();
                async { Ok::<_, Infallible>(response) }
            },
        ));
        let calls = (0..40).map(async |n| match n % 2 {
            0 => service.clone().oneshot(embed()).await.unwrap().status(),
            _ => {
                let _permit = limiter.acquire(Call::of(&embed())).await.unwrap();
                server.status()
            }
        });
        let statuses = futures::future::join_all(calls).await;
        assert!(statuses.iter().all(StatusCode::is_success), "{statuses:?}");
        assert_eq!(limiter.snapshot().lanes.len(), 1);
    }
}

/// A request by the layer and the same by hand. Returns the one lane of both, and the tokens that each was
/// charged.
async fn both<B>(layer: TogetherRateLimitLayer, request: Request<B>) -> (LaneSnapshot, [u64; 2])
where
    B: RequestBody + Clone + 'static,
{
    let limiter = layer.limiter().clone();
    let tokens = Quota::per_minute(TOKENS).unwrap().unpaced();
    limiter.set_limits(Limits::none().tokens(CHAT, tokens));
    let call = layer.call_of(&request).unwrap();
    let service = layer.layer(service_fn(async |_: Request<B>| {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    let lane = || {
        let mut lanes = limiter.snapshot().lanes;
        assert_eq!(lanes.len(), 1, "{lanes:?}");
        lanes.remove(0)
    };
    service.oneshot(request).await.unwrap();
    let by_layer = TOKENS - lane().limits[0].left;
    drop(limiter.acquire(call).await.unwrap());
    let lane = lane();
    let by_hand = TOKENS - lane.limits[0].left - by_layer;
    (lane, [by_layer, by_hand])
}

const TOKENS: u64 = 100_000;

#[tokio::test(start_paused = true)]
async fn a_call_has_the_key_the_model_and_the_tokens_that_the_layer_reads() {
    let url = "https://api.together.ai/v1/chat/completions";
    let form = "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nm\r\n--x--\r\n";
    let json = || request(url, MESSAGES);
    let extended = |mut request: Request<Full<Bytes>>| {
        let extensions = request.extensions_mut();
        extensions.insert(ApiKey::named("team"));
        extensions.insert(Model::new("m"));
        extensions.insert(Cost::of_tokens(70));
        extensions.insert(Caller::new("one"));
        extensions.insert(Attempt::new(2));
        request
    };
    let in_form = Request::post(url)
        .header("content-type", "multipart/form-data; boundary=x")
        .body(Full::from(form));
    for (request, key, charged) in [
        (json(), "key-", 100..200),
        (extended(json()), "team", 70..71),
        (in_form.unwrap(), "anonymous", 256..300),
    ] {
        let (lane, [by_layer, by_hand]) = both(TogetherRateLimitLayer::default(), request).await;
        assert!(lane.key.starts_with(key), "{}", lane.key);
        assert_eq!(lane.model.as_deref(), Some("m"));
        assert_eq!(by_layer, by_hand);
        assert!(charged.contains(&by_hand), "{by_hand}");
    }
    // The request must not be counted.
    let mut free = json();
    free.extensions_mut().insert(Cost::of_tokens(0));
    let (_, charged) = both(TogetherRateLimitLayer::default(), free).await;
    assert_eq!(charged, [0, 0]);
    // Other bodies in memory, and none.
    both(
        TogetherRateLimitLayer::default(),
        json().map(|_| MESSAGES.to_owned()),
    )
    .await;
    both(TogetherRateLimitLayer::default(), json().map(|_| ())).await;
}

const MESSAGES: &str = r#"{"model":"m","max_tokens":100,"messages":[{"content":"one two"}]}"#;

#[tokio::test(start_paused = true)]
async fn a_layer_s_own_routes_and_tokenizer_are_used_for_its_calls() {
    let routes = Classify::together()
        .with_prefix("/llm")
        .only_hosts(["gateway"]);
    let layer = TogetherRateLimitLayer::default()
        .with_classify(routes)
        .with_tokenizer(|_, _| 1_000);
    let url = "http://gateway/llm/v1/chat/completions";
    let (_, [by_layer, by_hand]) = both(layer.clone(), request(url, MESSAGES)).await;
    assert_eq!(by_layer, by_hand);
    assert!(by_hand > 1_000, "{by_hand}");
    let elsewhere = request("http://elsewhere/v1/chat/completions", MESSAGES);
    assert!(layer.call_of(&elsewhere).is_none());
    assert_eq!(Call::of(&elsewhere).endpoint(), CHAT);
}

#[tokio::test(start_paused = true)]
async fn a_call_has_the_deadline_that_the_layer_reads() {
    let limiter = Limiter::default();
    drop(limiter.acquire(Call::of(&embed())).await.unwrap());
    let hurried = |add: &dyn Fn(&mut Request<Full<Bytes>>)| {
        let mut request = embed();
        add(&mut request);
        limiter.acquire(Call::of(&request))
    };
    let soon = Deadline::within(Duration::from_millis(1));
    for call in [
        hurried(&|request| {
            request.extensions_mut().insert(soon);
        }),
        hurried(&|request| {
            let header = "0.001".parse().unwrap();
            request.headers_mut().insert("x-stainless-timeout", header);
        }),
    ] {
        assert_eq!(call.await.unwrap_err().reason(), Reason::Deadline);
    }
}
