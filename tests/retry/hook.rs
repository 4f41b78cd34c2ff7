//! A hook that sees each failed attempt, and decides about its retry.

use std::{
    future::ready,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use testing::script::{Reply, Script, status};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer, TogetherRetryLayer,
    extension::{Caller, Deadline, Failure, Retries, RetryReport},
    retry::{Budget, Decision},
};

use super::{CHAT, FINE_TUNES, exact, post, with};

/// An attempt as the hook saw it: its number, how it failed, and the wait in milliseconds.
type Seen = (u32, Failure, Option<u128>);

/// A layer whose hook records its attempts.
fn noting(
    layer: TogetherRetryLayer,
    decision: Decision,
) -> (TogetherRetryLayer, Arc<Mutex<Vec<Seen>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let layer = layer.with_hook(move |failed| {
        let wait = failed.wait().map(|wait| wait.as_millis());
        let note = (failed.attempts(), failed.failure(), wait);
        notes.lock().unwrap().push(note);
        decision
    });
    (layer, seen)
}

fn failed(code: u16) -> Failure {
    Failure::Status(code.try_into().unwrap())
}

/// The number of attempts of a request that always gets these replies.
async fn attempts(
    layer: &TogetherRetryLayer,
    request: Request<Full<Bytes>>,
    reply: Reply,
) -> usize {
    let script = Script::new(vec![reply; 9]);
    let _ = layer.layer(script.client()).oneshot(request).await;
    script.sent().len()
}

#[tokio::test(start_paused = true)]
async fn the_hook_sees_each_failed_attempt_once_and_changes_nothing_as_planned() {
    let soon = || status(500).header("retry-after-ms", 20);
    for (replies, expected) in [
        (vec![], vec![]),
        (
            vec![soon(), Reply::Refused, status(429)],
            vec![
                (1, failed(500), Some(20)),
                (2, Failure::NotSent, None),
                (3, failed(429), Some(5_000)),
            ],
        ),
        (
            vec![soon(); 9],
            vec![
                (1, failed(500), Some(20)),
                (2, failed(500), Some(20)),
                (3, failed(500), Some(20)),
                (4, failed(500), Some(20)),
                // The hook sees the last attempt too, and so the number of attempts.
                (5, failed(500), None),
            ],
        ),
        (vec![status(404)], vec![(1, failed(404), None)]),
    ] {
        let (layer, seen) = noting(exact(), Decision::AsPlanned);
        let script = Script::new(replies.clone());
        let _ = layer.layer(script.client()).oneshot(post(CHAT)).await;
        let mut seen = std::mem::take(&mut *seen.lock().unwrap());
        for (_, failure, wait) in &mut seen {
            // Drawn at random.
            assert!(*failure != Failure::NotSent || wait.take().is_some());
        }
        assert_eq!(seen, expected, "{replies:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_retry_is_not_made_and_costs_no_budget() {
    let one = || TogetherRetryLayer::default().with_budget(Budget::new(0.0, 1));
    for reply in [status(500), status(429), Reply::Refused, Reply::Reset] {
        let layer = one().with_hook(|failed| match failed.request().get::<Caller>() {
            Some(_) => Decision::Reject,
            None => Decision::AsPlanned,
        });
        let rejected = with(Caller::new("rejected"));
        assert_eq!(attempts(&layer, rejected, reply.clone()).await, 1);
        assert_eq!(attempts(&layer, post(CHAT), reply).await, 2);
    }
    // Nor does a request that would wait in its paused lane.
    let (layer, seen) = noting(exact(), Decision::Reject);
    let script = Script::new([status(429).header("retry-after", 7)]);
    let limits = TogetherRateLimitLayer::new(Limits::none());
    let client = layer.layer(limits.layer(script.client()));
    assert_eq!(client.oneshot(post(CHAT)).await.unwrap().status(), 429);
    assert_eq!(*seen.lock().unwrap(), [(1, failed(429), Some(0))]);
    assert_eq!(script.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_added_retry_is_made_within_the_layers_bounds() {
    let added = || noting(exact(), Decision::Retry).0;
    for reply in [status(404), status(400), status(501), status(500)] {
        let sent = async |layer, request| attempts(&layer, request, reply.clone()).await;
        assert_eq!(sent(added(), post(CHAT)).await, 5);
        assert_eq!(sent(added().with_max_retries(2), post(CHAT)).await, 3);
        assert_eq!(sent(added(), with(Retries::off())).await, 1);
        assert_eq!(sent(added(), with(Retries::at_most(1))).await, 2);
        let soon = Deadline::within(Duration::ZERO);
        assert_eq!(sent(added(), with(soon)).await, 1);
        let none = added().with_budget(Budget::new(0.0, 0));
        assert_eq!(sent(none, post(CHAT)).await, 1);
    }
    let broke = status(429).body(r#"{"error":{"message":"m","code":"insufficient_quota"}}"#);
    assert_eq!(attempts(&added(), post(CHAT), broke).await, 5);
    // An error that repeats each time.
    let sent = Arc::new(Mutex::new(0));
    let untrusted = service_fn(|_: Request<Full<Bytes>>| {
        *sent.lock().unwrap() += 1;
        let error = io::Error::new(io::ErrorKind::ConnectionRefused, "invalid peer certificate");
        ready(Err::<Response<Full<Bytes>>, _>(error))
    });
    let error = added().layer(untrusted).oneshot(post(CHAT)).await;
    assert_eq!((error.is_err(), *sent.lock().unwrap()), (true, 5));
    // A server that asks for a wait above the bound.
    let later = status(404).header("retry-after", 121);
    assert_eq!(attempts(&added(), post(CHAT), later).await, 1);
}

#[tokio::test(start_paused = true)]
async fn no_retry_is_added_for_a_request_that_creates_something_unless_it_may_be_repeated() {
    for reply in [status(404), status(500), Reply::Reset] {
        let (layer, seen) = noting(exact(), Decision::Retry);
        assert_eq!(attempts(&layer, post(FINE_TUNES), reply.clone()).await, 1);
        assert_eq!(seen.lock().unwrap().len(), 1);
        let mut sure = post(FINE_TUNES);
        sure.extensions_mut()
            .insert(Retries::default().may_repeat());
        assert_eq!(attempts(&layer, sure, reply).await, 5);
    }
    // A failure that is retried without the hook is still retried.
    let (layer, _) = noting(exact(), Decision::Retry);
    assert_eq!(attempts(&layer, post(FINE_TUNES), status(429)).await, 5);
}

#[tokio::test(start_paused = true)]
async fn the_hook_is_told_what_failed() {
    let layer = exact().with_hook(|failed| {
        assert_eq!(failed.endpoint(), Endpoint::ChatCompletions);
        match failed.failure() {
            Failure::Status(_) => {
                assert_eq!(failed.headers().unwrap()["x-request-id"], "7");
                assert_eq!(failed.api_error().unwrap().message(), "no such file");
                assert!(failed.error::<BoxError>().is_none());
            }
            _ => {
                assert!(failed.headers().is_none() && failed.api_error().is_none());
                assert!(failed.error::<BoxError>().unwrap().is::<io::Error>());
                assert!(failed.error::<io::Error>().is_none());
            }
        }
        Decision::AsPlanned
    });
    let words = r#"{"error":{"message":"no such file"}}"#;
    let last = status(404).header("x-request-id", 7).body(words);
    let script = Script::new([Reply::Reset, last]);
    let response = layer.layer(script.client()).oneshot(post(CHAT)).await;
    let (head, body) = response.unwrap().into_parts();
    assert_eq!(head.status, 404);
    assert_eq!(head.extensions.get::<RetryReport>().unwrap().attempts(), 2);
    assert_eq!(body.collect().await.unwrap().to_bytes(), words);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_by_the_limiter_is_no_failed_attempt() {
    let (layer, seen) = noting(exact(), Decision::Retry);
    let quota = Quota::per_minute(1).unwrap();
    let limits = Limits::none().requests(Endpoint::ChatCompletions, quota);
    let limiter = Limiter::new(limits).with_max_wait(Duration::ZERO);
    let script = Script::new([]);
    let client = layer.layer(TogetherRateLimitLayer::from(limiter).layer(script.client()));
    for expected in [200, 429] {
        let response = client.clone().oneshot(post(CHAT)).await.unwrap();
        assert_eq!(response.status(), expected);
    }
    assert_eq!(seen.lock().unwrap().len(), 0);
}
