//! Bodies: those in memory stay there, and an abandoned upload ends.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures::stream;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use reqwest::{Body, Client};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::timeout,
};
use tower::{ServiceBuilder, ServiceExt};
use tower_together::{
    Endpoint, Limits, Quota, TogetherLayer, TogetherRateLimitLayer, TogetherRetryLayer,
    body::ReplayBuffer,
};

use crate::server::{CHAT, Server, once_more, quick, status};

/// A retry layer above that made a stream of the body would hide it from the limiter.
#[tokio::test]
async fn beneath_the_retry_layer_the_model_is_still_read_from_a_body_in_memory() {
    let server = Server::failing(1).await;
    let quota = Quota::per_second(1_000).unwrap();
    let limits = Limits::none().requests(Endpoint::ChatCompletions, quota);
    let request = || {
        let json = serde_json::json!({"model": "m", "messages": []});
        Client::new()
            .post(server.chat())
            .json(&json)
            .build()
            .unwrap()
    };
    let both = TogetherLayer::new(limits.clone()).with_retry(once_more());
    let service = ServiceBuilder::new()
        .layer(both.clone())
        .service(Client::new());
    assert!(
        service
            .oneshot(request())
            .await
            .unwrap()
            .status()
            .is_success()
    );
    let limit = TogetherRateLimitLayer::new(limits);
    let service = ServiceBuilder::new()
        .layer(once_more())
        .layer(limit.clone())
        .service(Client::new());
    assert!(
        service
            .oneshot(request())
            .await
            .unwrap()
            .status()
            .is_success()
    );
    for (limiter, admitted) in [(both.limiter(), 2), (limit.limiter(), 1)] {
        let snapshot = limiter.snapshot();
        assert_eq!(snapshot.lanes.len(), 1);
        assert_eq!(snapshot.lanes[0].model.as_deref(), Some("m"));
        assert_eq!(snapshot.lanes[0].admitted, admitted);
    }
}

#[tokio::test]
async fn a_body_in_memory_follows_a_redirect() {
    let server = Server::start(|number, request| async move {
        match (number, request.uri().path()) {
            (0, _) => status(StatusCode::SERVICE_UNAVAILABLE),
            (_, "/new") => Response::new(request.into_body()),
            _ => {
                let response = Response::builder().status(StatusCode::TEMPORARY_REDIRECT);
                let response = response.header("location", "/new");
                response.body(axum::body::Body::empty()).unwrap()
            }
        }
    })
    .await;
    let service = ServiceBuilder::new().layer(quick()).service(Client::new());
    let request = Client::new().post(server.chat()).body("hello");
    let response = service.oneshot(request.build().unwrap()).await.unwrap();
    assert_eq!(response.text().await.unwrap(), "hello");
    assert_eq!(server.heads().len(), 3);
}

const UPLOAD: usize = 8 << 20;

#[tokio::test]
async fn an_upload_that_is_given_up_ends() {
    let ended = timeout(Duration::from_secs(120), given_up()).await;
    ended.expect("it never ends");
}

/// The server rejects the first upload as soon as it begins, and reads the rest of it only when the second is complete.
async fn given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{CHAT}", listener.local_addr().unwrap());
    let memory = ReplayBuffer::new(2 * UPLOAD, 2 * UPLOAD);
    let layer =
        TogetherLayer::new(Limits::none()).with_retry(once_more().with_replay_buffer(memory));
    let service = ServiceBuilder::new().layer(layer).service(Client::new());
    let request = Client::new().post(url).body(upload()).build().unwrap();
    let response = tokio::spawn(service.oneshot(request));

    let mut first = rejected(&listener).await;
    let (second, _) = listener.accept().await.unwrap();
    let arrived = whole(second).await;
    assert!(arrived == bytes().concat(), "{} bytes", arrived.len());
    assert_eq!(response.await.unwrap().unwrap().status(), 200);
    let mut rest = Vec::new();
    // The connection is closed or reset: the body does not end as if it were complete.
    let _ = first.read_to_end(&mut rest).await;
    assert!(rest.len() < UPLOAD, "{}", rest.len());
    assert!(!rest.ends_with(b"\r\n0\r\n\r\n"));
}

/// A body larger than the memory is sent once, and the caller gets its response.
#[tokio::test]
async fn an_upload_that_is_not_kept_gets_its_response() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{CHAT}", listener.local_addr().unwrap());
    let layer =
        TogetherRetryLayer::default().with_replay_buffer(ReplayBuffer::new(1 << 10, 1 << 10));
    let service = ServiceBuilder::new().layer(layer).service(Client::new());
    let request = Client::new().post(url).body(upload()).build().unwrap();
    let response = tokio::spawn(service.oneshot(request));
    let _open = rejected(&listener).await;
    assert_eq!(response.await.unwrap().unwrap().status(), 429);
}

/// Pieces of which no two are alike.
fn bytes() -> Vec<Vec<u8>> {
    let pieces = 0..UPLOAD / PIECE;
    pieces.map(|piece| vec![piece as u8; PIECE]).collect()
}

fn upload() -> Body {
    let pieces = bytes().into_iter().map(Bytes::from);
    let frames = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    Body::wrap(StreamBody::new(stream::iter(frames)))
}

/// A connection whose request got a 429 as soon as its head arrived.
async fn rejected(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let response =
        "HTTP/1.1 429 Too Many Requests\r\nretry-after-ms: 10\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(response.as_bytes()).await.unwrap();
    stream
}

/// The body of a connection's one request, read after the response was sent.
async fn whole(stream: TcpStream) -> Bytes {
    let (give, arrived) = oneshot::channel();
    let give = std::sync::Mutex::new(Some(give));
    let service = service_fn(move |request: http::Request<Incoming>| {
        let give = give.lock().unwrap().take().expect("one request");
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            let _ = give.send(body);
            Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::from("well")))
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::spawn(connection);
    arrived.await.unwrap()
}

const PIECE: usize = 1 << 16;
