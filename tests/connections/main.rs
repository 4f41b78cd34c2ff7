//! Requests that are sent again, over real sockets: their bytes, and what becomes of connections.
#![allow(
    clippy::disallowed_methods,
    reason = "real sockets and runtimes take real time"
)]

mod body;
mod raw;
mod server;

use std::{
    convert::Infallible,
    future::ready,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::Router;
use body::{Dripping, Slow};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use http::{Request, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use raw::{Deaf, Farewell, Leaving};
use server::{Early, Lingering};
use testing::{PATIENCE, until};
use together_standin::{Answer, Rules, StandIn};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, sleep},
};
use tower::{BoxError, Layer, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_together::{
    Limits, TogetherLayer, TogetherRetryLayer,
    body::{Memory, Opaque, RequestBody},
    extension::{Failure, Retries, RetryReport},
    retry::Budget,
};

/// Retries at once, as often as it takes.
fn quick() -> TogetherRetryLayer {
    TogetherRetryLayer::default()
        .with_jitter(Duration::ZERO)
        .with_backoff(Duration::ZERO, Duration::from_millis(20))
        .with_budget(Budget::unlimited())
}

fn both() -> TogetherLayer {
    TogetherLayer::new(Limits::none()).with_retry(quick())
}

fn client<B>(http2: bool) -> Client<HttpConnector, B>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    // Or HTTP/2 waits 40 ms for the acknowledgement of each little frame.
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build(connector)
}

fn post<B>(url: &str, path: &str, body: B) -> Request<B> {
    Request::post(format!("{url}/v1{path}"))
        .header("authorization", "Bearer key")
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

async fn stand_in() -> StandIn {
    let at_once = Duration::ZERO..=Duration::ZERO;
    let server = StandIn::builder().rules(Rules::none()).latency(at_once);
    server.start().await.unwrap()
}

/// 1 MiB: more than sockets hold, so that it is still being sent when an early answer comes.
const BIG: usize = 1 << 20;

/// Answered 429 twice before it is read, and then sent whole, through one layer and through two.
async fn answered_early<B>(make: impl Fn() -> B)
where
    B: RequestBody + Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    for http2 in [false, true] {
        for alone in [false, true] {
            let server = Early::start(2).await;
            let request = post(&server.url(), "/embeddings", make());
            let client = client(http2);
            let (head, report) = if alone {
                let answer = quick().layer(client).oneshot(request).await.unwrap();
                let report = answer.extensions().get::<RetryReport>().cloned();
                (answer.status(), report)
            } else {
                let answer = both().layer(client).oneshot(request).await.unwrap();
                let report = answer.extensions().get::<RetryReport>().cloned();
                (answer.status(), report)
            };
            assert_eq!(head, StatusCode::OK);
            assert_eq!(report.unwrap().attempts(), 3);
            let expected = Slow::<Infallible>::new(BIG).collect().await;
            let expected = expected.unwrap().to_bytes();
            assert!(server.bodies() == [expected], "http2: {http2}");
        }
    }
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_makes_no_difference_to_the_next_attempt() {
    answered_early(|| BoxBody::new(Slow::<io::Error>::new(BIG))).await;
    answered_early(|| Opaque::new(Slow::<BoxError>::new(BIG))).await;
    answered_early(|| axum::body::Body::new(Slow::<io::Error>::new(BIG))).await;
}

/// A server that reads on though it has answered would take half a prompt for the whole.
#[tokio::test]
async fn an_upload_that_is_given_up_never_looks_complete() {
    for http2 in [false, true] {
        let server = Early::start(10).await;
        let service = quick().with_max_retries(10).layer(client(http2));
        let body = BoxBody::new(Dripping::new(200).of_unknown_size());
        let answer = service.oneshot(post(&server.url(), "/embeddings", body));
        assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
        until("ten bodies have ended", async || {
            server.given_up().len() == 10
        })
        .await;
        let given_up = server.given_up();
        assert!(given_up.contains(&None), "http2: {http2}");
        // On a slow machine one may have sent everything before it was given up.
        let mut complete = given_up.iter().flatten();
        assert!(complete.all(|body| body.len() == 20_000), "http2: {http2}");
        assert_eq!(server.bodies()[0].len(), 20_000);
    }
}

/// Its errors cannot be made, so the attempts that were given up read on to the true end.
#[tokio::test]
async fn nor_where_an_upload_cannot_be_given_up() {
    answered_early(|| BoxBody::new(Slow::<Infallible>::new(BIG))).await;
}

/// A server that answers early, and then waits for the client to close while it throws away what
/// comes, as servers do so that their answer is not lost.
#[tokio::test]
async fn a_thousand_early_answers_leave_no_connection_behind() {
    let server = Lingering::start().await;
    let service = quick().layer(client(false));
    let calls = stream::iter(0..500).map(|_| {
        let body = BoxBody::new(Slow::<io::Error>::new(BIG));
        let mut request = post(&server.url(), "/embeddings", body);
        request.extensions_mut().insert(Retries::at_most(1));
        service.clone().oneshot(request)
    });
    let statuses: Vec<_> = calls
        .buffer_unordered(20)
        .map(|answer| answer.unwrap().status())
        .collect()
        .await;
    assert!(statuses.iter().all(|status| *status == 429));
    assert_eq!(server.answered(), 1_000);
    until("no connection is left", async || server.connections() == 0).await;
    drop(service);
}

/// The same of a server that reads nothing more and closes nothing: whether an upload ends is up to
/// the client, and so to its body.
#[tokio::test]
async fn nor_do_those_of_a_server_that_neither_reads_nor_closes() {
    let server = Deaf::start().await;
    let service = quick().layer(client(false));
    let calls = stream::iter(0..1_000).map(|id| {
        let body = BoxBody::new(Dripping::new(8));
        let mut request = post(&server.url, "/embeddings", body);
        request.headers_mut().insert("x-id", id.into());
        service.clone().oneshot(request)
    });
    let statuses: Vec<_> = calls
        .buffer_unordered(20)
        .map(|answer| answer.unwrap().status())
        .collect()
        .await;
    assert_eq!(statuses, [200; 1_000]);
    assert_eq!(server.refused(), 1_000);
    let whole: Vec<u8> = (0..8).flat_map(|n| [n; 100]).collect();
    assert_eq!(server.bodies(), vec![whole; 1_000]);
    until("no connection is left", async || server.left_open() == 0).await;
    drop(service);
}

#[tokio::test]
async fn nor_do_those_of_a_server_that_closes() {
    for http2 in [false, true] {
        let server = Early::start(1_000).await;
        let service = quick().with_max_retries(1_000).layer(client(http2));
        let calls = stream::iter(0..20).map(|_| {
            let body = BoxBody::new(Slow::<io::Error>::new(BIG / 8));
            let request = post(&server.url(), "/embeddings", body);
            service.clone().oneshot(request)
        });
        let statuses: Vec<_> = calls
            .buffer_unordered(20)
            .map(|answer| answer.unwrap().status())
            .collect()
            .await;
        assert_eq!(statuses, [200; 20]);
        assert_eq!(server.bodies().len(), 20);
        drop(service);
        until("no connection is left", async || server.connections() == 0).await;
    }
}

/// An answer that is dropped unread costs its connection: 20 calls would have 20.
#[tokio::test]
async fn twenty_calls_through_errors_of_100_kb_use_one_connection() {
    for through_both in [false, true] {
        let server = stand_in().await;
        let body = vec![b'x'; 100_000];
        let busy = || {
            let answer = Answer::status(503).header("retry-after-ms", 1);
            answer
                .header("content-type", "text/plain")
                .body(body.clone())
        };
        let http = client::<Full<Bytes>>(false);
        let retry = quick().with_drain(BIG, PATIENCE);
        let both = both().with_retry(retry.clone());
        for _ in 0..20 {
            server.script("POST", "/embeddings", busy());
            let json = r#"{"model":"m","input":"x"}"#;
            let request = post(&server.url(), "/embeddings", Full::from(json));
            let status = if through_both {
                let answer = both.layer(http.clone()).oneshot(request).await.unwrap();
                let status = answer.status();
                answer.into_body().collect().await.unwrap();
                status
            } else {
                let answer = retry.layer(http.clone()).oneshot(request).await.unwrap();
                let status = answer.status();
                answer.into_body().collect().await.unwrap();
                status
            };
            assert_eq!(status, StatusCode::OK);
        }
        assert_eq!(server.stats().arrived, 40);
        assert_eq!(server.connected(), 1);
    }
}

/// It is sent once, and its answer returned as it came.
#[tokio::test]
async fn a_body_over_the_bound_is_no_error() {
    let server = stand_in().await;
    let answer = Answer::status(503).body("as it came").times(2);
    server.script("POST", "/files/upload", answer);
    let layer = quick().with_memory(Memory::new(BIG - 1, 8 * BIG));
    let service = layer.layer(client(false));
    let request = post(
        &server.url(),
        "/files/upload",
        Opaque::new(Slow::<io::Error>::new(BIG)),
    );
    let answer = service.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.extensions().get::<RetryReport>().is_none());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "as it came");
    assert_eq!(server.stats().arrived, 1);
}

/// Sends one request; how often it arrived, and what came of it.
async fn arrivals(http2: bool, path: &str, fault: Answer) -> (u64, Result<StatusCode, bool>) {
    let server = stand_in().await;
    server.script("POST", path, fault);
    server.script("POST", path, Answer::status(200).times(9));
    let service = quick().layer(client::<Full<Bytes>>(http2));
    let request = post(&server.url(), path, Full::from("{}"));
    let answer = service.oneshot(request).await;
    let answer = answer.map(|answer| answer.status());
    (
        server.stats().arrived,
        answer.map_err(|error| error.is_connect()),
    )
}

/// What was certainly not processed is sent again whatever it is; what may have been, only if nothing
/// is created twice.
#[tokio::test]
async fn an_error_tells_whether_the_request_was_processed() {
    const FINE_TUNES: &str = "/fine-tunes";
    const CHAT: &str = "/chat/completions";
    for (http2, path, fault, expected) in [
        (true, FINE_TUNES, Answer::refused(), (2, Ok(StatusCode::OK))),
        (true, FINE_TUNES, Answer::go_away(), (2, Ok(StatusCode::OK))),
        (true, FINE_TUNES, Answer::reset(), (1, Err(false))),
        (false, FINE_TUNES, Answer::reset(), (1, Err(false))),
        (true, CHAT, Answer::reset(), (2, Ok(StatusCode::OK))),
        (false, CHAT, Answer::reset(), (2, Ok(StatusCode::OK))),
    ] {
        let label = format!("{path} {fault:?}");
        assert_eq!(arrivals(http2, path, fault).await, expected, "{label}");
    }
}

/// A server that is leaving says which requests it has not looked at, and those alone are certain.
#[tokio::test]
async fn a_goaway_is_believed_of_the_streams_it_does_not_name() {
    for (path, last, expected) in [
        ("/fine-tunes", 0, (2, Some(StatusCode::OK))),
        ("/fine-tunes", 1, (1, None)),
        ("/chat/completions", 1, (2, Some(StatusCode::OK))),
    ] {
        let code = Farewell::NO_ERROR;
        let server = Leaving::start(Farewell::GoAway { last, code }).await;
        let service = quick().layer(client::<Full<Bytes>>(true));
        let request = post(&server.url, path, Full::from("{}"));
        let answer = service.oneshot(request).await;
        let status = answer.ok().map(|answer| answer.status());
        assert_eq!((server.arrived(), status), expected, "{path} {last}");
    }
}

/// It counted as a broken connection, and was retried at once.
#[tokio::test]
async fn enhance_your_calm_is_a_429_that_does_not_say_for_how_long() {
    let code = Farewell::ENHANCE_YOUR_CALM;
    // Of a stream that a GOAWAY names, h2 tells no more than that the connection broke.
    for farewell in [Farewell::Reset { code }, Farewell::GoAway { last: 0, code }] {
        // Alone, the retry layer waits as after such a 429.
        let wait = Duration::from_millis(50);
        let retry = quick().with_wait_after_429(wait);
        let server = Leaving::start(farewell).await;
        let service = retry.layer(client::<Full<Bytes>>(true));
        let start = Instant::now();
        let chat = || post(&server.url, "/chat/completions", Full::from("{}"));
        let answer = service.oneshot(chat()).await.unwrap();
        let report = answer.extensions().get::<RetryReport>().unwrap();
        assert_eq!(report.failures(), [Failure::Throttled], "{farewell:?}");
        assert!(start.elapsed() >= wait);
        // It may have been processed.
        let server = Leaving::start(farewell).await;
        let service = retry.layer(client::<Full<Bytes>>(true));
        let create = post(&server.url, "/fine-tunes", Full::from("{}"));
        assert!(service.oneshot(create).await.is_err(), "{farewell:?}");
        assert_eq!(server.arrived(), 1);
        // The limiter pauses its lane.
        let server = Leaving::start(farewell).await;
        let layer = both();
        let service = layer.layer(client::<Full<Bytes>>(true));
        let mut chat = post(&server.url, "/chat/completions", Full::from("{}"));
        chat.extensions_mut().insert(Retries::off());
        assert!(service.oneshot(chat).await.is_err(), "{farewell:?}");
        let lane = layer.limiter().snapshot().lanes.remove(0);
        assert_eq!(lane.throttled, 1, "{farewell:?}");
        assert!(lane.paused.is_some());
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let service = quick().layer(client::<Empty<Bytes>>(false));
    let error = service
        .oneshot(post(&url, "/fine-tunes", Empty::new()))
        .await
        .unwrap_err();
    // The client's own error, after five attempts.
    assert!(error.is_connect(), "{error:?}");
}

/// A bound socket refuses connections until it listens, which it does from the third attempt on.
#[tokio::test]
async fn a_server_that_comes_back_gets_what_was_not_sent() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let [attempts, arrived] = [(); 2].map(|()| Arc::<AtomicU32>::default());
    let server = Router::new().fallback({
        let arrived = Arc::clone(&arrived);
        move || ready(arrived.fetch_add(1, SeqCst)).map(|_| StatusCode::OK)
    });
    let shut = Arc::new(Mutex::new(Some(socket)));
    let http = client::<Empty<Bytes>>(false);
    let client = service_fn(move |request| {
        if attempts.fetch_add(1, SeqCst) == 2 {
            let socket = shut.lock().unwrap().take().unwrap();
            let listener = socket.listen(8).unwrap();
            let server = server.clone();
            tokio::spawn(async { axum::serve(listener, server).await });
        }
        http.request(request)
    });
    let request = post(&url, "/fine-tunes", Empty::new());
    let answer = quick().layer(client).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let report = answer.extensions().get::<RetryReport>().unwrap();
    assert_eq!(report.failures(), [Failure::NotSent; 2]);
    assert_eq!(arrived.load(SeqCst), 1);
}

/// Whatever it is that keeps it from connecting.
#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let tried = Arc::<AtomicU32>::default();
    let counted = Arc::clone(&tried);
    let connector = service_fn(move |_: Uri| {
        counted.fetch_add(1, SeqCst);
        ready(Err::<TokioIo<TcpStream>, _>(io::Error::other(
            "no such host",
        )))
    });
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let request = post("http://localhost", "/fine-tunes", Empty::<Bytes>::new());
    let error = quick().layer(client).oneshot(request).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    assert_eq!(tried.load(SeqCst), 5);
}

/// What must never be sent twice, counted where it arrives: every endpoint that creates something,
/// and every failure that leaves open whether it did.
#[tokio::test]
async fn nothing_that_creates_something_arrives_twice() {
    let server = stand_in().await;
    let service = both().layer(client::<Full<Bytes>>(true));
    let mut arrived = 0;
    for path in [
        "/fine-tunes",
        "/batches",
        "/files",
        "/files/upload",
        "/videos",
        "/evaluation",
        "/endpoints",
        "/deployments",
        "/queue/submit",
        "/compute/clusters",
        "/rl/training-sessions",
        "/models",
    ] {
        let failures = [408, 500, 502, 504, 520, 524, 529].map(Answer::status);
        for failure in failures.into_iter().chain([Answer::reset()]) {
            server.script("POST", path, failure);
            let request = post(&server.url(), path, Full::from("{}"));
            let answer = service.clone().oneshot(request).await;
            assert!(answer.map_or(true, |answer| !answer.status().is_success()));
            arrived += 1;
            assert_eq!(server.stats().arrived, arrived, "{path}");
        }
    }
}

/// Promise: nothing of the inner service is held while waiting.
#[tokio::test(start_paused = true)]
async fn a_backoff_holds_no_permit_of_the_inner_service() {
    let client = service_fn(|request: Request<&'static str>| async move {
        let mut answer = http::Response::new(Full::<Bytes>::from("failed"));
        if *request.body() == "fail" {
            *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        }
        Ok::<_, Infallible>(answer)
    });
    let one = ConcurrencyLimit::new(client, 1);
    let service = TogetherRetryLayer::default().layer(one);
    let start = Instant::now();
    let url = "https://api.together.ai";
    let backing_off = tokio::spawn(service.clone().oneshot(post(url, "/embeddings", "fail")));
    sleep(Duration::from_secs(1)).await;
    let other = service.oneshot(post(url, "/embeddings", "pass"));
    assert_eq!(other.await.unwrap().status(), StatusCode::OK);
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    assert_eq!(backing_off.await.unwrap().unwrap().status(), 429);
}
