//! Connection errors, and which of them prove that nothing was sent.

use std::{
    future::ready,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::Router;
use bytes::Bytes;
use futures::FutureExt;
use http::{StatusCode, Uri};
use http_body_util::{Empty, Full};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use together_standin::Answer;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::Instant,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_together::extension::{Failure, Retries, RetryReport};

use crate::raw::{Farewell, Leaving};
use crate::{both, client, post, quick, stand_in};

/// Sends one request. Returns how often it arrived, and its result.
async fn arrivals(http2: bool, path: &str, fault: Answer) -> (u64, Result<StatusCode, bool>) {
    let server = stand_in().await;
    server.script("POST", path, fault);
    server.script("POST", path, Answer::status(200).times(9));
    let service = quick().layer(client::<Full<Bytes>>(http2));
    let request = post(&server.url(), path, Full::from("{}"));
    let response = service.oneshot(request).await;
    let response = response.map(|response| response.status());
    (
        server.stats().arrived,
        response.map_err(|error| error.is_connect()),
    )
}

/// A request that was certainly not processed is always retried. One that may have been is retried only if that creates
/// nothing twice.
#[tokio::test]
async fn an_error_tells_whether_the_request_was_processed() {
    const FINE_TUNES: &str = "/fine-tunes";
    const CHAT: &str = "/chat/completions";
    for (http2, path, fault, expected) in [
        (
            true,
            FINE_TUNES,
            Answer::refused_stream(),
            (2, Ok(StatusCode::OK)),
        ),
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

/// A server that is leaving reports which requests it has not processed; only those are certain.
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
        let response = service.oneshot(request).await;
        let status = response.ok().map(|response| response.status());
        assert_eq!((server.arrived(), status), expected, "{path} {last}");
    }
}

/// It counted as a broken connection, and was retried at once.
#[tokio::test]
async fn enhance_your_calm_is_a_429_that_does_not_say_for_how_long() {
    let code = Farewell::ENHANCE_YOUR_CALM;
    // For a stream that a GOAWAY names, h2 reports only that the connection broke.
    for farewell in [Farewell::Reset { code }, Farewell::GoAway { last: 0, code }] {
        // Alone, the retry layer waits as after such a 429.
        let wait = Duration::from_millis(50);
        let retry = quick().with_wait_after_429(wait);
        let server = Leaving::start(farewell).await;
        let service = retry.layer(client::<Full<Bytes>>(true));
        let start = Instant::now();
        let chat = || post(&server.url, "/chat/completions", Full::from("{}"));
        let response = service.oneshot(chat()).await.unwrap();
        let report = response.extensions().get::<RetryReport>().unwrap();
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
        assert_eq!(lane.throttled_count, 1, "{farewell:?}");
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
    let response = quick().layer(client).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let report = response.extensions().get::<RetryReport>().unwrap();
    assert_eq!(report.failures(), [Failure::NotSent; 2]);
    assert_eq!(arrived.load(SeqCst), 1);
}

/// Any cause that prevents a connection counts.
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

/// Requests that must never be sent twice, counted where they arrive: every endpoint that creates something, and every
/// failure after which it may have been created.
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
            let response = service.clone().oneshot(request).await;
            assert!(response.map_or(true, |response| !response.status().is_success()));
            arrived += 1;
            assert_eq!(server.stats().arrived, arrived, "{path}");
        }
    }
}
