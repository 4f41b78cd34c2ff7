//! The pause of a lane after an error in a success.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};
use tower_together::{
    ApiError, Endpoint, Limits, Quota, TogetherRateLimitLayer, TogetherRetryLayer, extension::Cost,
};

use crate::{EVENTS, JSON, Reply, Server, TOO_FAST, chat, event, limits, reply_of, text};

#[tokio::test(start_paused = true)]
async fn its_wait_is_kept() {
    let body = r#"{"error":{"code":503,"message":"overloaded","retry_after":7}}"#;
    let layer = TogetherRateLimitLayer::new(limits());
    let mut service = layer.layer(Server::new([reply_of(body)]).service());
    service.ready().await.unwrap().call(chat()).await.unwrap();
    let start = Instant::now();
    service.ready().await.unwrap().call(chat()).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(7));
}

/// The caller already has the head, so only the lane gets a report.
#[tokio::test(start_paused = true)]
async fn one_that_comes_later_pauses_its_lane_as_it_passes() {
    for (kind, pieces) in [
        (JSON, vec![(500, TOO_FAST.to_owned())]),
        (
            JSON,
            vec![(0, TOO_FAST[..9].into()), (500, TOO_FAST[9..].into())],
        ),
        (EVENTS, vec![(500, event(TOO_FAST))]),
        (
            EVENTS,
            vec![
                (0, ": soon\n\n".into()),
                (500, event(TOO_FAST)),
                (9_000, event("{}")),
            ],
        ),
        (
            EVENTS,
            vec![
                (0, "event: error\n".into()),
                (500, format!("data: {TOO_FAST}")),
            ],
        ),
    ] {
        let layer = TogetherRateLimitLayer::new(limits());
        let retry = TogetherRetryLayer::default();
        let pieces = pieces
            .into_iter()
            .map(|(wait, text)| (wait, text.into_bytes()));
        let server = Server::new([Reply(kind, pieces.collect())]);
        let mut service = retry.layer(layer.layer(server.service()));
        let response = service.ready().await.unwrap().call(chat()).await.unwrap();
        assert!(response.extensions().get::<ApiError>().is_none());
        let throttled = || layer.limiter().snapshot().lanes[0].throttled_count;
        assert_eq!(throttled(), 0);
        let mut body = response.into_body();
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            seen.extend_from_slice(frame.unwrap().data_ref().unwrap());
            let last = seen.ends_with(b"\n\n") && seen.len() > 20;
            assert!(!last || throttled() == 1);
        }
        drop(body);
        assert_eq!(throttled(), 1, "{kind} {}", seen.escape_ascii());
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_request_has_cost_no_tokens() {
    for pieces in [vec![(0, TOO_FAST.into())], vec![(500, TOO_FAST.into())]] {
        let quota = Quota::per_minute(1_000).unwrap();
        let limits = Limits::none().tokens(Endpoint::ChatCompletions, quota.unpaced());
        let layer = TogetherRateLimitLayer::new(limits);
        let mut service = layer.layer(Server::new([Reply(JSON, pieces)]).service());
        for _ in 0..2 {
            let mut request = chat();
            request.extensions_mut().insert(Cost::of_tokens(900));
            let start = Instant::now();
            text(service.ready().await.unwrap().call(request).await.unwrap()).await;
            assert!(start.elapsed() < Duration::from_secs(5));
        }
    }
}
