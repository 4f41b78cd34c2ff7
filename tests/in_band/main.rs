//! Errors in the body of a success: the layer that reads them counts them as the status that they name.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod any_body;
mod retries;

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use http::{HeaderMap, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{
    ApiError, Endpoint, Limits, Quota, TogetherRateLimitLayer, TogetherRetryLayer,
    extension::{Cost, Paused},
    limiter::Report,
};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const TOO_FAST: &str = r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#;

type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// A response: its type, and its body's pieces, each with the milliseconds since the one before.
#[derive(Clone)]
struct Reply(&'static str, Vec<(u64, Vec<u8>)>);

fn reply(kind: &'static str, body: impl Into<Vec<u8>>) -> Reply {
    Reply(kind, vec![(0, body.into())])
}

fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

impl Reply {
    fn response(self) -> Response<Body> {
        let Self(kind, pieces) = self;
        let frames = stream::iter(pieces).then(|(wait, bytes)| async move {
            if wait > 0 {
                sleep(Duration::from_millis(wait)).await;
            }
            Ok(Frame::data(Bytes::from(bytes)))
        });
        let response = Response::builder().header(CONTENT_TYPE, kind);
        response.body(StreamBody::new(frames.boxed())).unwrap()
    }
}

/// A server that gives scripted responses, and records when it was called.
#[derive(Clone)]
struct Server {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Server {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            replies: Arc::new(Mutex::new(replies.into_iter().collect())),
            asked: Arc::default(),
        }
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn service(
        &self,
    ) -> impl Service<
        Request<Full<Bytes>>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + use<> {
        let server = self.clone();
        service_fn(move |_| {
            server.asked.lock().unwrap().push(Instant::now());
            let reply = server.replies.lock().unwrap().pop_front();
            let reply = reply.unwrap_or_else(|| reply_of("{}"));
            async { Ok(reply.response()) }
        })
    }
}

fn reply_of(body: &str) -> Reply {
    reply(JSON, body)
}

fn post(path: &str) -> Request<Full<Bytes>> {
    let uri = format!("https://api.together.ai/v1/{path}");
    let request = Request::builder().method(Method::POST).uri(uri);
    request.body(Full::from(r#"{"model":"m"}"#)).unwrap()
}

fn chat() -> Request<Full<Bytes>> {
    post("chat/completions")
}

fn limits() -> Limits {
    let quota = Quota::per_second(100).unwrap();
    Limits::none().requests(Endpoint::ChatCompletions, quota)
}

async fn text<B>(response: Response<B>) -> String
where
    B: http_body::Body<Error: std::fmt::Debug>,
{
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

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
