//! reqwest's errors keep their type and their message.

use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Response, StatusCode};
use reqwest::{Client, Method, Request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
    time::{Instant, pause},
};
use tonic::transport::Channel;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, TogetherLayer, TogetherRateLimitLayer,
    extension::{Failure, Retries, RetryReport},
    stack::HttpOverReqwest,
};

use crate::server::{CLOSED, Server, once_more, quick};

fn post(url: &str) -> Request {
    Request::new(Method::POST, url.parse().unwrap())
}

#[tokio::test]
async fn no_connection_is_retried_and_is_connect() {
    let tries = AtomicU32::new(0);
    let service = ServiceBuilder::new()
        .layer(quick())
        .map_request(|request: Request| {
            tries.fetch_add(1, Relaxed);
            request
        })
        .service(Client::new());
    let error = service.oneshot(post(CLOSED)).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    assert_eq!(error.url().unwrap().as_str(), CLOSED);
    assert_eq!(tries.load(Relaxed), 2);
}

#[tokio::test]
async fn a_server_that_comes_back_is_found() {
    let server = Server::failing(0).await;
    let tries = AtomicU32::new(0);
    let service = ServiceBuilder::new()
        .layer(quick())
        .map_request(|mut request: Request| {
            if tries.fetch_add(1, Relaxed) == 0 {
                *request.url_mut() = CLOSED.parse().unwrap();
            }
            request
        })
        .service(Client::new());
    let response = service.oneshot(post(&server.chat())).await.unwrap();
    let report = response.extensions().get::<RetryReport>().unwrap();
    assert_eq!(report.failures(), [Failure::NotSent]);
    assert_eq!(response.text().await.unwrap(), "well");
}

/// An HTTP/2 server that resets the first stream of each connection with `ENHANCE_YOUR_CALM`.
async fn throttling() -> String {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const RESET: [u8; 13] = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 11];
    const HEADERS: u8 = 1;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}/v1/chat/completions",
        listener.local_addr().unwrap()
    );
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.read_exact(&mut [0; 24]).await?;
            stream.write_all(&SETTINGS).await?;
            let mut head = [0; 9];
            while head[3] != HEADERS {
                stream.read_exact(&mut head).await?;
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                stream.read_exact(&mut vec![0; length as usize]).await?;
            }
            stream.write_all(&RESET).await?;
            while stream.read(&mut head).await? > 0 {}
        }
        #[expect(unreachable_code, reason = "names the error")]
        Ok::<_, io::Error>(())
    });
    url
}

#[tokio::test]
async fn enhance_your_calm_pauses_the_lane_over_reqwest_and_tonic() {
    let url = throttling().await;
    let client = Client::builder().http2_prior_knowledge();
    let over_reqwest = TogetherRateLimitLayer::new(Limits::none());
    let stack = over_reqwest.layer(client.build().unwrap());
    stack.oneshot(post(&url)).await.unwrap_err();
    let channel = Channel::from_shared(url.clone()).unwrap().connect_lazy();
    let request = http::Request::post(&url).extension(Retries::off());
    let request = request.body(tonic::body::Body::empty()).unwrap();
    let over_tonic = TogetherLayer::new(Limits::none());
    let stack = over_tonic.layer(channel);
    stack.oneshot(request).await.unwrap_err();
    for limiter in [over_reqwest.limiter(), over_tonic.limiter()] {
        let lane = limiter.snapshot().lanes.remove(0);
        assert!(lane.throttled_count == 1 && lane.paused.is_some());
    }
}

const MINUTE: Duration = Duration::from_secs(60);

async fn silent() -> Server {
    Server::start(|_, _| pending::<Response<Body>>()).await
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_retried_and_is_timeout() {
    let server = silent().await;
    let tries = AtomicU32::new(0);
    let service = ServiceBuilder::new()
        .layer(quick())
        .map_request(|request: Request| {
            tries.fetch_add(1, Relaxed);
            request
        })
        .service(Client::new());
    let mut request = post(&server.chat());
    *request.timeout_mut() = Some(MINUTE);
    let start = Instant::now();
    let error = service.oneshot(request).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert!(start.elapsed() >= 2 * MINUTE);
    assert_eq!(tries.load(Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_begins_when_the_request_leaves() {
    let server = silent().await;
    let quota = Quota::per_minute(1).unwrap();
    let limiter = Limiter::new(Limits::none().requests(Endpoint::ChatCompletions, quota));
    let layer = TogetherLayer::from(limiter).with_retry(once_more().with_max_retries(0));
    let service = ServiceBuilder::new().layer(layer).service(Client::new());
    let start = Instant::now();
    let calls = [0, 1].map(|_| {
        let mut request = post(&server.chat());
        *request.timeout_mut() = Some(MINUTE / 2);
        service.clone().oneshot(request)
    });
    let [first, second] = calls.map(tokio::spawn);
    assert!(first.await.unwrap().unwrap_err().is_timeout());
    assert!(second.await.unwrap().unwrap_err().is_timeout());
    // A minute in the queue, and then the timeout.
    assert!(start.elapsed() >= MINUTE + MINUTE / 2);
}

#[tokio::test]
async fn a_body_that_does_not_end_is_timeout_too() {
    let server = Server::start(|_, _| async {
        let begun = stream::iter([Ok::<_, io::Error>(Bytes::from("begun"))]);
        Response::new(Body::from_stream(begun.chain(stream::pending())))
    })
    .await;
    let service = ServiceBuilder::new().layer(quick()).service(Client::new());
    let mut request = post(&server.chat());
    *request.timeout_mut() = Some(60 * MINUTE);
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    // The head arrived in time. The clock now jumps to the timeout.
    pause();
    let error = response.bytes().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_the_error_that_it_is_without_the_layers() {
    let off = Arc::new(Notify::new());
    let broken = Arc::clone(&off);
    let server = Server::start(move |_, _| {
        let broken = Arc::clone(&broken);
        let begun = stream::iter([Ok(Bytes::from("begun"))]);
        let off = stream::once(async move {
            broken.notified().await;
            Err(io::Error::other("off"))
        });
        async { Response::new(Body::from_stream(begun.chain(off))) }
    })
    .await;
    let client = Client::new();
    let plain = client.execute(post(&server.chat())).await.unwrap();
    off.notify_one();
    let plain = plain.bytes().await.unwrap_err();
    let service = ServiceBuilder::new().layer(quick()).service(client);
    let ours = service.oneshot(post(&server.chat())).await.unwrap();
    off.notify_one();
    let ours = ours.bytes().await.unwrap_err();
    let says = |error: &reqwest::Error| {
        let told = [error.is_body(), error.is_decode(), error.is_request()];
        (told, error.is_timeout(), error.is_connect())
    };
    assert_eq!(says(&ours), says(&plain), "{ours:?} {plain:?}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_not_retried() {
    let tries = Arc::new(AtomicU32::new(0));
    let count = {
        let tries = Arc::clone(&tries);
        move |request: http::Request<reqwest::Body>| {
            tries.fetch_add(1, Relaxed);
            request
        }
    };
    let service = ServiceBuilder::new()
        .layer(quick())
        .map_request(count)
        .service(HttpOverReqwest::new(Client::new()));
    let request = http::Request::post("/v1/chat/completions").body("".into());
    let error = service.oneshot(request.unwrap()).await.unwrap_err();
    assert!(error.is_builder(), "{error:?}");
    assert_eq!(tries.load(Relaxed), 1);
}

#[tokio::test]
async fn a_scheme_that_nobody_speaks_is_not_retried() {
    let tries = AtomicU32::new(0);
    let service = ServiceBuilder::new()
        .layer(quick())
        .map_request(|request: Request| {
            tries.fetch_add(1, Relaxed);
            request
        })
        .service(Client::new());
    let plain = Client::new().execute(post("ftp://together/v1/chat/completions"));
    let plain = plain.await.unwrap_err();
    let ours = service.oneshot(post("ftp://together/v1/chat/completions"));
    let ours = ours.await.unwrap_err();
    assert!(
        plain.is_builder() && ours.is_builder(),
        "{plain:?} {ours:?}"
    );
    assert_eq!(tries.load(Relaxed), 1);
}

#[tokio::test]
async fn a_url_that_is_no_uri_is_a_builder_error() {
    let service = ServiceBuilder::new().layer(quick()).service(Client::new());
    let error = service.oneshot(post("data:,hello")).await.unwrap_err();
    assert!(error.is_builder(), "{error:?}");
}

#[tokio::test]
async fn a_redirect_without_end_is_not_retried() {
    let server = Server::start(|_, _| async {
        let response = Response::builder().status(StatusCode::TEMPORARY_REDIRECT);
        response
            .header("location", "/again")
            .body(Body::empty())
            .unwrap()
    })
    .await;
    let client = Client::builder()
        .redirect(reqwest::redirect::Policy::limited(2))
        .build()
        .unwrap();
    let service = ServiceBuilder::new().layer(quick()).service(client);
    let error = service.oneshot(post(&server.chat())).await.unwrap_err();
    assert!(error.is_redirect(), "{error:?}");
    assert_eq!(server.heads().len(), 3);
}
