//! Which errors are found: in any format, behind what else, in any pieces; and what only looks like an error.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{HeaderMap, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{
    ApiError, Endpoint, TogetherRateLimitLayer, TogetherRetryLayer, extension::Paused,
    limiter::Report,
};

use crate::{EVENTS, JSON, Reply, Server, TOO_FAST, chat, event, limits, post, reply, text};

/// The error may have any format, and any content type.
#[tokio::test(start_paused = true)]
async fn one_that_comes_with_the_head_pauses_its_lane() {
    for (kind, body) in [
        (JSON, TOO_FAST.to_owned()),
        (
            JSON,
            r#"{"error":{"code":429,"message":"m"},"user_id":"u"}"#.into(),
        ),
        (
            JSON,
            r#"{"object":"error","message":"m","code":429}"#.into(),
        ),
        (JSON, r#"{"error":"Rate limit exceeded"}"#.into()),
        (
            JSON,
            "\u{feff} {\"x\":NaN,\"error\":{\"type\":\"rate_limit_error\"}}".into(),
        ),
        ("application/problem+json", TOO_FAST.into()),
        (EVENTS, event(TOO_FAST)),
        (EVENTS, format!("data: {TOO_FAST}\ndata: [DONE]\n")),
        (
            EVENTS,
            format!(": hello\r\n\r\nevent: error\r\ndata:{TOO_FAST}\r\n\r\n"),
        ),
        (
            EVENTS,
            event("{\"error\":\ndata: {\"type\":\"dynamic_request_limited\"}\ndata: }"),
        ),
        (
            EVENTS,
            event(
                r#"{"id":"1","object":"chat.completion.chunk","choices":[],"error":{"status":"RESOURCE_EXHAUSTED"}}"#,
            ),
        ),
    ] {
        let layer = TogetherRateLimitLayer::new(limits());
        let server = Server::new([reply(kind, body.clone())]);
        let mut service = layer.layer(server.service());
        let response = service.ready().await.unwrap().call(chat()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{body}");
        let error = response.extensions().get::<ApiError>().unwrap();
        assert_eq!(error.status(), StatusCode::TOO_MANY_REQUESTS, "{body}");
        assert!(response.extensions().get::<Paused>().is_some(), "{body}");
        assert_eq!(text(response).await, body);
        assert_eq!(
            layer.limiter().snapshot().lanes[0].throttled_count,
            1,
            "{body}"
        );
        let start = Instant::now();
        service.ready().await.unwrap().call(chat()).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(1), "{body}");
    }
}

/// Servers begin a stream with a comment, and write an event in parts; layers beneath give empty frames.
#[tokio::test(start_paused = true)]
async fn what_comes_before_it_hides_none_that_comes_with_the_head() {
    let part = TOO_FAST.len() / 2;
    for (kind, pieces) in [
        (EVENTS, vec!["".to_owned(), event(TOO_FAST)]),
        (EVENTS, vec![": soon\n\n".into(), event(TOO_FAST)]),
        (EVENTS, vec!["event: error\n".into(), event(TOO_FAST)]),
        (EVENTS, vec!["data: ".into(), format!("{TOO_FAST}\n\n")]),
        (JSON, vec!["".into(), TOO_FAST.into()]),
        (JSON, vec![TOO_FAST[..part].into(), TOO_FAST[part..].into()]),
    ] {
        let reply = |wait| {
            let last = pieces.len() - 1;
            let waits = (0..).map(|piece| if piece == last { wait } else { 0 });
            let bytes = pieces.iter().map(|piece| piece.clone().into_bytes());
            Reply(kind, waits.zip(bytes).collect())
        };
        let waits = TogetherRetryLayer::default().with_first_frame(Duration::from_secs(5));
        for limited in [true, false] {
            let count = async |retry: &TogetherRetryLayer, wait| {
                let server = Server::new([reply(wait)]);
                if limited {
                    let layer = TogetherRateLimitLayer::new(limits());
                    let service = retry.layer(layer.layer(server.service()));
                    drop(service.oneshot(chat()).await.unwrap());
                } else {
                    let service = retry.layer(server.service());
                    drop(service.oneshot(chat()).await.unwrap());
                }
                server.count()
            };
            let at_once = count(&TogetherRetryLayer::default(), 0).await;
            assert_eq!(at_once, 2, "{pieces:?} {limited}");
            // JSON that has begun is passed on.
            let has_begun = kind == JSON && !pieces[0].is_empty();
            let late = count(&waits, 500).await;
            assert_eq!(late, if has_begun { 1 } else { 2 }, "{pieces:?} {limited}");
        }
    }
}

/// Each of two layers looks at 16 KiB.
#[tokio::test(start_paused = true)]
async fn a_stream_of_comments_is_read_no_further_than_an_error() {
    let read = Arc::new(AtomicUsize::new(0));
    let service = service_fn(async |_: Request<Full<Bytes>>| {
        let read = Arc::clone(&read);
        let frames = stream::repeat(Bytes::from(vec![b':'; 1_000])).map(move |bytes| {
            read.fetch_add(bytes.len(), Relaxed);
            Ok::<_, Infallible>(Frame::data(bytes))
        });
        let response = Response::builder().header(CONTENT_TYPE, EVENTS);
        Ok::<_, Infallible>(response.body(StreamBody::new(frames)).unwrap())
    });
    let layer = TogetherRateLimitLayer::new(limits());
    let service = TogetherRetryLayer::default().layer(layer.layer(service));
    drop(service.oneshot(chat()).await.unwrap());
    assert!(read.load(Relaxed) <= 34_000, "{read:?}");
}

#[tokio::test(start_paused = true)]
async fn what_only_looks_like_one_is_none() {
    for (path, kind, body) in [
        (
            "chat/completions",
            JSON,
            r#"{"error":null,"choices":[]}"#.to_owned(),
        ),
        (
            "chat/completions",
            JSON,
            r#"{"error":{},"choices":[]}"#.into(),
        ),
        (
            "chat/completions",
            JSON,
            r#"{"choices":[{"message":{"content":"{\"error\":{\"code\":429}}"}}]}"#.into(),
        ),
        (
            "chat/completions",
            JSON,
            format!(r#"{{"choices":[{TOO_FAST}]}}"#),
        ),
        ("chat/completions", "text/plain", TOO_FAST.into()),
        (
            "chat/completions",
            EVENTS,
            format!("{}{}", event(r#"{"choices":[]}"#), event(TOO_FAST)),
        ),
        (
            "chat/completions",
            JSON,
            format!("{}{TOO_FAST}", " ".repeat(16 << 10)),
        ),
        (
            "chat/completions",
            EVENTS,
            format!("{}{}", ":\n".repeat(9), event("[DONE]")),
        ),
        // The error is the job's.
        ("videos", JSON, TOO_FAST.into()),
        ("fine-tunes", JSON, TOO_FAST.into()),
        ("batches", JSON, TOO_FAST.into()),
        ("unheard-of", JSON, TOO_FAST.into()),
    ] {
        let layer = TogetherRateLimitLayer::new(limits());
        let server = Server::new([reply(kind, body.clone())]);
        let service = TogetherRetryLayer::default().layer(layer.layer(server.service()));
        let response = service.oneshot(post(path)).await.unwrap();
        assert!(response.extensions().get::<ApiError>().is_none(), "{body}");
        assert_eq!(text(response).await, body);
        assert_eq!(server.count(), 1, "{body}");
        let lanes = layer.limiter().snapshot().lanes;
        assert!(lanes.iter().all(|lane| lane.throttled_count == 0), "{body}");
    }
}

/// However the body is cut, the caller gets all of it, and the lane gets one report.
#[tokio::test(start_paused = true)]
async fn every_cut_of_a_body_is_read_alike() {
    let body =
        format!(": hello\r\n\r\nevent: error\r\ndata: {TOO_FAST}\r\n\r\ndata: [DONE]\r\n\r\n");
    for step in 1..body.len() {
        for wait in [0, 1] {
            let pieces = body
                .as_bytes()
                .chunks(step)
                .map(|piece| (wait, piece.to_vec()));
            let layer = TogetherRateLimitLayer::new(limits());
            let server = Server::new([Reply(EVENTS, pieces.collect())]);
            let response = layer.layer(server.service()).oneshot(chat()).await.unwrap();
            assert_eq!(text(response).await, body);
            assert_eq!(
                layer.limiter().snapshot().lanes[0].throttled_count,
                1,
                "{step} {wait}"
            );
        }
    }
}

#[test]
fn a_report_by_hand_says_the_same() {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, EVENTS.parse().unwrap());
    let read = |status, body: &str| {
        let (endpoint, now) = (Endpoint::ChatCompletions, SystemTime::UNIX_EPOCH);
        Report::read(endpoint, status, &headers, body.as_bytes(), now)
    };
    let mut json = HeaderMap::new();
    json.insert(CONTENT_TYPE, JSON.parse().unwrap());
    let now = SystemTime::UNIX_EPOCH;
    let status = StatusCode::TOO_MANY_REQUESTS;
    let rejected = Report::read(
        Endpoint::ChatCompletions,
        status,
        &json,
        TOO_FAST.as_bytes(),
        now,
    );
    assert_eq!(read(StatusCode::OK, &event(TOO_FAST)), rejected);
    assert_eq!(read(StatusCode::OK, ""), Report::default());
}
