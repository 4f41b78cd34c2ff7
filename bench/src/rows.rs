use std::{convert::Infallible, future::pending, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{Empty, Full};
use tokio::{runtime::Runtime, time::timeout};
use tower::{Layer, ServiceExt, util::future_service};
use tower_governor::key_extractor::GlobalKeyExtractor;
use tower_together::{Endpoint, Limiter, body::RequestBody, extension::ApiKey, limiter::Call};

use crate::{
    calls::try_acquire,
    requests::{Keys, Requests, json, keys},
    retries::{both, by_hand, retry},
    row::Row,
    section::Section,
    services::{
        AxumNoOp, ByAuthorization, NoOp, Told, buffered, governed, learner, limits, resilience,
        together, together_counting_tokens, together_in_flight,
    },
};

/// Every row, in the order of the table. Services that need a runtime live in `runtime`.
pub fn rows(runtime: &Runtime) -> Vec<Row> {
    let mut rows = rows_of_few_keys(runtime);
    let first = rows.len() - GOVERNORS;
    let thousand = keys(1_000);
    governors(
        &mut rows,
        "axum's response body, 1,000 keys",
        &thousand,
        Some(first),
    );
    let many = keys(100_000);
    governors(
        &mut rows,
        "axum's response body, 100,000 keys",
        &many,
        Some(first),
    );
    rows
}

/// The rows with at most ten keys, which are made quickly.
pub fn rows_of_few_keys(runtime: &Runtime) -> Vec<Row> {
    let mut rows = Vec::new();
    let one = keys(1);
    layers(&mut rows, &one, runtime);
    permits(&mut rows, &one);
    bodies(&mut rows, &one);
    learning(&mut rows, &one, runtime);
    learning_from_headers(&mut rows, &keys(10));
    let empty = Empty::<Bytes>::new();
    retries(&mut rows, "retry, no body, 1 key", &one, &empty);
    let json = Full::new(json(true));
    retries(
        &mut rows,
        "retry, JSON body of 1 KiB in memory, 1 key",
        &one,
        &json,
    );
    governors(&mut rows, "axum's response body, 1 key", &one, None);
    rows
}

fn layers(rows: &mut Vec<Row>, keys: &[Keys; 2], runtime: &Runtime) {
    let mut section = Section::new(rows, "no body, 1 key", keys, None);
    let body = Empty::<Bytes>::new();
    section.add("no-op", &NoOp, &body);
    section.add_oneshot("no-op, clone + oneshot", &NoOp, &body);
    section.add(OURS, &together(NoOp), &body);
    section.add_oneshot("TogetherRateLimit, clone + oneshot", &together(NoOp), &body);
    section.add(
        "TogetherRateLimit with in-flight limit",
        &together_in_flight(NoOp),
        &body,
    );
    section.add(RESILIENCE, &resilience(NoOp), &body);
    let _inside = runtime.enter();
    section.add("tower Buffer + RateLimit", &buffered(), &body);
    // Its worker is a task of one runtime: with callers in two runtimes the row would measure their wake-ups.
    rows.last_mut().expect("added just now").two = None;
}

/// The work of the limiter alone. Nothing is a no-op here, so its ratio is 1.
fn permits(rows: &mut Vec<Row>, keys: &[Keys; 2]) {
    let mut section = Section::new(rows, "a permit without a request, 1 key", keys, None);
    let limiter = Limiter::new(limits());
    let call = Call::new(Endpoint::ChatCompletions).with_key(ApiKey::new("key"));
    section.push("Limiter::try_acquire", |_| try_acquire(&limiter, &call));
}

fn bodies(rows: &mut Vec<Row>, keys: &[Keys; 2]) {
    let mut section = Section::new(rows, "JSON body of 1 KiB in memory, 1 key", keys, None);
    let [first, last] = [true, false].map(|model_first| Full::new(json(model_first)));
    section.add("no-op", &NoOp, &first);
    section.add("TogetherRateLimit, model first", &together(NoOp), &first);
    section.add("TogetherRateLimit, model last", &together(NoOp), &last);
    section.add(
        "TogetherRateLimit, tokens counted",
        &together_counting_tokens(NoOp),
        &first,
    );
}

fn learning(rows: &mut Vec<Row>, keys: &[Keys; 2], runtime: &Runtime) {
    let mut section = Section::new(
        rows,
        "no headers in the response, no body, 1 key",
        keys,
        None,
    );
    let body = Empty::<Bytes>::new();
    section.add("no-op", &NoOp, &body);
    section.add(NOT_LEARNING, &learner(false).layer(NoOp), &body);
    section.add(LEARNING, &learner(true).layer(NoOp), &body);
    let watching = learner(true);
    let nobody =
        watching.layer(future_service::<_, NoOp, Request<Empty<Bytes>>, Infallible>(pending()));
    let mut requests = Requests::new(&keys[0], &body);
    for _ in 0..keys[0].len() {
        let waits = nobody.clone().oneshot(requests.make());
        let waited = runtime.block_on(async { timeout(Duration::ZERO, waits).await });
        assert!(waited.is_err());
    }
    section.add(LEARNING_WAITED, &watching.layer(NoOp), &body);
}

fn learning_from_headers(rows: &mut Vec<Row>, keys: &[Keys; 2]) {
    let heading = "six rate limit headers in each response, no body, 10 keys";
    let mut section = Section::new(rows, heading, keys, None);
    let (told, body) = (Told::new(), Empty::<Bytes>::new());
    section.add("no-op", &told, &body);
    section.add(NOT_TOLD, &learner(false).layer(told), &body);
    section.add(TOLD, &learner(true).layer(told), &body);
    // The highest limit that is believed is lower than what two threads send.
    rows.last_mut().expect("added just now").two = None;
}

fn retries<B>(rows: &mut Vec<Row>, heading: &'static str, keys: &[Keys; 2], body: &B)
where
    B: RequestBody<Again: Send> + Clone + Send + 'static,
{
    let mut section = Section::new(rows, heading, keys, None);
    section.add("no-op", &NoOp, body);
    section.add(RETRY, &retry(NoOp), body);
    section.add(RETRY_BY_HAND, &by_hand(NoOp), body);
    section.add(BOTH, &both(NoOp), body);
    section.add(BOTH_BY_HAND, &by_hand(together(NoOp)), body);
}

fn governors(rows: &mut Vec<Row>, heading: &'static str, keys: &[Keys; 2], one_key: Option<usize>) {
    let mut section = Section::new(rows, heading, keys, one_key);
    let body = Empty::<Bytes>::new();
    section.add("no-op", &AxumNoOp, &body);
    section.add(OURS, &together(AxumNoOp), &body);
    section.add(GOVERNOR, &governed(ByAuthorization), &body);
    if one_key.is_none() {
        section.add(
            "GovernorLayer, one limit for all",
            &governed(GlobalKeyExtractor),
            &body,
        );
    }
}

/// Pairs of rows, each in one section: ours, its neighbour, and how many times as much ours may cost.
pub const BESIDE: [(&str, &str, Option<f64>); 7] = [
    (OURS, RESILIENCE, None),
    (OURS, GOVERNOR, None),
    (BOTH, BOTH_BY_HAND, Some(1.5)),
    (RETRY, RETRY_BY_HAND, Some(1.5)),
    (LEARNING, NOT_LEARNING, Some(1.15)),
    (LEARNING_WAITED, NOT_LEARNING, Some(1.15)),
    (TOLD, NOT_TOLD, None),
];

/// Rows in the section of one key that is compared with tower_governor.
const GOVERNORS: usize = 4;

const RESILIENCE: &str = "tower-resilience RateLimiter, fixed window";
const GOVERNOR: &str = "GovernorLayer, a limit for each key";

const NOT_LEARNING: &str = "TogetherRateLimit, learning off";
const LEARNING: &str = "TogetherRateLimit, learning on";
const LEARNING_WAITED: &str = "TogetherRateLimit, learning on, one has waited";
const NOT_TOLD: &str = "TogetherRateLimit, limits told, learning off";
const TOLD: &str = "TogetherRateLimit, limits told, learning on";

const RETRY: &str = "TogetherRetryLayer";
const RETRY_BY_HAND: &str = "tower::retry, cloning policy";
const BOTH: &str = "TogetherLayer";
const BOTH_BY_HAND: &str = "tower::retry, cloning policy, our limiter";

/// The layer as it is used most. The aims apply to the first and the last row of this name.
pub const OURS: &str = "TogetherRateLimit";
