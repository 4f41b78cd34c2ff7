//! Retries and other models after an error in a success.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_together::{
    ApiError, TogetherFallbackLayer, TogetherRateLimitLayer, TogetherRetryLayer,
    extension::{Retries, RetryReport},
};

use crate::{EVENTS, JSON, Reply, Server, TOO_FAST, chat, event, limits, reply, reply_of, text};

#[tokio::test(start_paused = true)]
async fn a_request_is_retried_as_after_the_status_that_is_named() {
    for (body, sent) in [
        (TOO_FAST, 2),
        (r#"{"error":{"type":"server_error","message":"m"}}"#, 2),
        (r#"{"error":{"type":"overloaded_error"}}"#, 2),
        (r#"{"error":{"code":"502","message":"m"}}"#, 2),
        (r#"{"error":{"code":502.0,"message":"m"}}"#, 2),
        (r#"{"error":{"type":"invalid_request_error"}}"#, 1),
        (r#"{"error":{"code":501,"message":"m"}}"#, 1),
        (
            r#"{"error":{"code":"insufficient_quota","message":"m"}}"#,
            1,
        ),
        // The error names no status.
        (r#"{"error":{"message":"m","code":"odd"}}"#, 1),
        (r#"{"error":{"message":"m","code":200}}"#, 1),
    ] {
        for (kind, body) in [(JSON, body.to_owned()), (EVENTS, event(body))] {
            for limited in [true, false] {
                let server = Server::new([reply(kind, body.clone()), reply_of("{}")]);
                let retry = TogetherRetryLayer::default();
                let layer = TogetherRateLimitLayer::new(limits());
                let response = match limited {
                    true => {
                        let service = retry.layer(layer.layer(server.service()));
                        let response = service.oneshot(chat()).await.unwrap();
                        response.map(|body| body.boxed_unsync())
                    }
                    false => {
                        let response = retry.layer(server.service()).oneshot(chat()).await.unwrap();
                        response.map(|body| body.boxed_unsync())
                    }
                };
                assert_eq!(server.count(), sent, "{body} {limited}");
                let report = response.extensions().get::<RetryReport>();
                assert_eq!(
                    report.map_or(1, RetryReport::attempts) as usize,
                    sent,
                    "{body}"
                );
                let last = if sent == 2 { "{}" } else { &body };
                assert_eq!(text(response).await, last);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_frame_is_waited_for_only_by_choice() {
    let late = || Reply(EVENTS, vec![(500, event(TOO_FAST).into())]);
    let waits = TogetherRetryLayer::default().with_first_frame(Duration::from_secs(5));
    for (retry, sent) in [(TogetherRetryLayer::default(), 1), (waits.clone(), 2)] {
        let server = Server::new([late()]);
        let layer = TogetherRateLimitLayer::new(limits());
        let service = retry.layer(layer.layer(server.service()));
        let response = service.oneshot(chat()).await.unwrap();
        assert_eq!(server.count(), sent);
        drop(response);
    }
    // A slower event is passed on.
    let server = Server::new([Reply(EVENTS, vec![(9_000, event(TOO_FAST).into())])]);
    let start = Instant::now();
    let response = waits.layer(server.service()).oneshot(chat()).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(text(response).await, event(TOO_FAST));
    assert_eq!(server.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_503_sends_the_request_to_the_next_model() {
    let body = r#"{"error":{"code":503,"message":"overloaded"}}"#;
    let server = Server::new([reply_of(body)]);
    let layer = TogetherRateLimitLayer::new(limits());
    let fallback = TogetherFallbackLayer::new().with_chain("m", ["n"]);
    let retry = TogetherRetryLayer::default().with_max_retries(0);
    let service = fallback.layer(retry.layer(layer.layer(server.service())));
    let response = service.oneshot(chat()).await.unwrap();
    assert_eq!(text(response).await, "{}");
    assert_eq!(server.count(), 2);
    // The same holds without a limiter beneath, or if the error is late.
    let retry = retry.with_first_frame(Duration::from_secs(5));
    for wait in [0, 500] {
        let server = Server::new([Reply(EVENTS, vec![(wait, event(body).into())])]);
        let service = fallback.layer(retry.layer(server.service()));
        let response = service.oneshot(chat()).await.unwrap();
        assert_eq!(text(response).await, "{}");
        assert_eq!(server.count(), 2);
    }
}

/// A stream is not withheld from its caller for an error that is not retried.
#[tokio::test(start_paused = true)]
async fn a_first_frame_is_not_waited_for_without_retries() {
    let retry = TogetherRetryLayer::default().with_first_frame(Duration::from_secs(5));
    for (wait, known) in [(0, true), (500, false)] {
        let server = Server::new([Reply(EVENTS, vec![(wait, event(TOO_FAST).into())])]);
        let mut request = chat();
        request.extensions_mut().insert(Retries::off());
        let start = Instant::now();
        let service = retry.layer(server.service());
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(response.extensions().get::<ApiError>().is_some(), known);
        assert_eq!(server.count(), 1);
    }
}
