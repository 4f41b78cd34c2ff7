//! A client that times out while it waits for a response that may have been paid for.

use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use testing::script::{Reply, Script, status};
use tokio::time::timeout;
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_together::{
    TogetherRetryLayer,
    extension::{Failure, Retries, RetryReport},
};

use super::{exact, post};

const SECOND: Duration = Duration::from_secs(1);

/// The number of attempts of a request whose response is always late.
async fn attempts(layer: &TogetherRetryLayer, path: &str, gives_up: fn() -> BoxError) -> u32 {
    let sent = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&sent);
    let client = service_fn(move |_: Request<Full<Bytes>>| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            let response = timeout(SECOND, pending::<Response<Full<Bytes>>>()).await;
            response.map_err(|_| gives_up())
        }
    });
    layer.layer(client).oneshot(post(path)).await.unwrap_err();
    sent.load(Ordering::Relaxed)
}

fn elapsed() -> BoxError {
    // The message of tokio's and tower's own errors.
    "deadline has elapsed".into()
}

/// A chat slower than its client's own timeout was sent, and paid for, five times.
#[tokio::test(start_paused = true)]
async fn what_a_model_generates_is_asked_for_once_more_after_a_timeout() {
    for (path, expected) in [
        ("/v1/chat/completions", 2),
        ("/v1/completions", 2),
        ("/v1/images/generations", 2),
        ("/v1/audio/speech", 2),
        ("/v1/audio/transcriptions", 2),
        ("/v1/audio/translations", 2),
        ("/v2/videos", 1),
        ("/v1/fine-tunes", 1),
        ("/v1/embeddings", 5),
        ("/v1/rerank", 5),
    ] {
        assert_eq!(attempts(&exact(), path, elapsed).await, expected, "{path}");
    }
    for (most, expected) in [(0, 1), (1, 2), (3, 4), (9, 5)] {
        let layer = exact().with_max_retries_after_timeout(most);
        let sent = attempts(&layer, "/v1/chat/completions", elapsed).await;
        assert_eq!(sent, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_known_by_what_gave_up() {
    let errors: [(fn() -> BoxError, u32); 7] = [
        (elapsed, 2),
        (|| "request timed out".into(), 2),
        (|| io::Error::from(io::ErrorKind::TimedOut).into(), 2),
        (|| io::Error::other("operation timed out").into(), 2),
        // The system's own timeout, of a dead connection.
        (|| io::Error::from_raw_os_error(110).into(), 5),
        (|| io::Error::from(io::ErrorKind::ConnectionReset).into(), 5),
        (|| "who timed out?".into(), 5),
    ];
    for (error, expected) in errors {
        let sent = attempts(&exact(), "/v1/chat/completions", error).await;
        assert_eq!(sent, expected, "{}", error());
    }
}

#[tokio::test(start_paused = true)]
async fn other_failures_are_retried_as_often_as_before() {
    let late = |script: &Script| {
        let client = script.client();
        client.map_err(|error| match error.to_string().contains("reset") {
            true => elapsed(),
            false => error,
        })
    };
    let script = Script::new([Reply::Reset, status(500), Reply::Refused, status(429)]);
    let client = exact().layer(late(&script));
    let response = client.oneshot(post(super::CHAT)).await.unwrap();
    assert_eq!(response.status(), 200);
    let report = response.extensions().get::<RetryReport>().unwrap();
    assert_eq!(report.failures()[0], Failure::TimedOut);
    assert_eq!(report.attempts(), 5);
    // The second timeout is one too many, whatever happened in between.
    let script = Script::new([Reply::Reset, status(500), Reply::Reset, status(500)]);
    let mut request = post(super::CHAT);
    request.extensions_mut().insert(Retries::unlimited());
    let client = exact().layer(late(&script));
    assert!(client.oneshot(request).await.is_err());
    assert_eq!(script.sent().len(), 3);
}
