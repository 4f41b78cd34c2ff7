//! The requests whose retries a budget pays for.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use testing::script::{Script, status};
use tower::{Layer, ServiceExt};
use tower_together::{
    TogetherRetryLayer,
    extension::{ApiKey, Caller},
    retry::Budget,
};

use super::{CHAT, post};

/// The number of attempts of each request, one after the other, if all fail at once.
async fn attempts(budget: Budget, requests: Vec<Request<Full<Bytes>>>) -> Vec<usize> {
    let script = Script::new(vec![status(500); 1_000]);
    let layer = TogetherRetryLayer::default()
        .with_backoff(Duration::ZERO, Duration::ZERO)
        .with_budget(budget);
    let service = layer.layer(script.client());
    let mut attempts = Vec::new();
    for request in requests {
        let before = script.sent().len();
        service.clone().oneshot(request).await.unwrap();
        attempts.push(script.sent().len() - before);
    }
    attempts
}

fn header(name: &'static str, value: &str) -> Request<Full<Bytes>> {
    let mut request = post(CHAT);
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// A request with the marks that an SDK of Together or OpenAI puts on its own retries.
fn of_sdk(key: &str, retry: &str) -> Request<Full<Bytes>> {
    let mut request = header("authorization", &format!("Bearer {key}"));
    let retry = retry.parse().unwrap();
    request
        .headers_mut()
        .insert("x-stainless-retry-count", retry);
    request
}

/// One call that an SDK sent three times left no retry to any other key.
#[tokio::test(start_paused = true)]
async fn one_keys_poisoned_request_leaves_retries_to_others() {
    let poisoned = ["0", "1", "2"].map(|retry| of_sdk("a", retry));
    let others = ["b", "b", "c", "c", "c"].map(|key| of_sdk(key, "0"));
    let requests = poisoned.into_iter().chain(others).collect();
    // Ten of one key, twenty of all, and one more that the first attempts have earned.
    let sent = attempts(Budget::default(), requests).await;
    assert_eq!(sent, [5, 5, 3, 5, 5, 3, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_share_is_of_a_caller_of_a_key() {
    let by = |caller: &str, key: &str| {
        let mut request = header("authorization", &format!("Bearer {key}"));
        request.extensions_mut().insert(Caller::new(caller));
        request
    };
    let keyed = |name: &str| {
        let mut request = post(CHAT);
        request.extensions_mut().insert(ApiKey::named(name));
        request
    };
    for (one, other, shares) in [
        (by("x", "k"), by("y", "k"), false),
        (by("x", "k"), by("x", "l"), false),
        (by("x", "k"), by("x", "k"), true),
        (keyed("k"), keyed("l"), false),
        (keyed("k"), post(CHAT), false),
        (keyed("k"), keyed("k"), true),
        (
            header("authorization", "k"),
            header("authorization", "Bearer k"),
            true,
        ),
        (post(CHAT), header("x-other", "y"), true),
    ] {
        let what = format!("{one:?} {other:?}");
        let sent = attempts(Budget::new(0.0, 4), vec![one, other]).await;
        assert_eq!(sent, [5, if shares { 1 } else { 5 }], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_retry_of_a_callers_sdk_earns_no_retry() {
    for (retry, earned) in [("0", 1), ("1", 0), ("2", 0), ("-1", 1), ("two", 1), ("", 1)] {
        let sent = attempts(Budget::new(1.0, 0), vec![of_sdk("a", retry)]).await;
        assert_eq!(sent, [1 + earned], "{retry}");
    }
}
