use bytes::Bytes;
use http_body_util::{Empty, Full};
use tokio::runtime::Runtime;
use tower_governor::key_extractor::GlobalKeyExtractor;
use tower_together::body::RequestBody;

use crate::{
    requests::{Keys, json, keys},
    retries::{both, by_hand, by_policy, retry},
    row::Row,
    section::Section,
    services::{
        AxumNoOp, ByAuthorization, NoOp, buffered, governed, resilience, together,
        together_in_flight,
    },
};

/// Every row, in the order of the table. What needs a runtime to live in gets this one.
pub fn rows(runtime: &Runtime) -> Vec<Row> {
    let mut rows = Vec::new();
    let one = keys(1);
    layers(&mut rows, &one, runtime);
    bodies(&mut rows, &one);
    let empty = Empty::<Bytes>::new();
    retries(&mut rows, "retry, no body, 1 key", &one, &empty);
    let json = Full::new(json(true));
    retries(
        &mut rows,
        "retry, JSON body of 1 KiB in memory, 1 key",
        &one,
        &json,
    );
    let first = rows.len();
    governors(&mut rows, "axum's response body, 1 key", &one, None);
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
    section.add(
        "tower-resilience RateLimiter, fixed window",
        &resilience(NoOp),
        &body,
    );
    let _inside = runtime.enter();
    section.add("tower Buffer + RateLimit", &buffered(), &body);
    // Its worker is a task of one runtime: with callers in two it would measure their wake-ups.
    rows.last_mut().expect("added just now").two = None;
}

fn bodies(rows: &mut Vec<Row>, keys: &[Keys; 2]) {
    let mut section = Section::new(rows, "JSON body of 1 KiB in memory, 1 key", keys, None);
    let [first, last] = [true, false].map(|model_first| Full::new(json(model_first)));
    section.add("no-op", &NoOp, &first);
    section.add("TogetherRateLimit, model first", &together(NoOp), &first);
    section.add("TogetherRateLimit, model last", &together(NoOp), &last);
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
    section.add(
        "tower::retry, our Policy, our limiter",
        &by_policy(together(NoOp)),
        body,
    );
}

fn governors(rows: &mut Vec<Row>, heading: &'static str, keys: &[Keys; 2], one_key: Option<usize>) {
    let mut section = Section::new(rows, heading, keys, one_key);
    let body = Empty::<Bytes>::new();
    section.add("no-op", &AxumNoOp, &body);
    section.add(OURS, &together(AxumNoOp), &body);
    section.add(
        "GovernorLayer, a limit for each key",
        &governed(ByAuthorization),
        &body,
    );
    if one_key.is_none() {
        section.add(
            "GovernorLayer, one limit for all",
            &governed(GlobalKeyExtractor),
            &body,
        );
    }
}

/// What retries, ours and by hand, each in one section: a request that needs no retry must not pay
/// much more with the first than with the second.
pub const BESIDE: [(&str, &str); 2] = [(BOTH, BOTH_BY_HAND), (RETRY, RETRY_BY_HAND)];

const RETRY: &str = "TogetherRetryLayer";
const RETRY_BY_HAND: &str = "tower::retry, cloning policy";
const BOTH: &str = "TogetherLayer";
const BOTH_BY_HAND: &str = "tower::retry, cloning policy, our limiter";

/// The layer as it is used most; the aims are about the first row of this name, and about the last.
pub const OURS: &str = "TogetherRateLimit";
