//! Retries over real sockets: the bytes sent, and the reuse of connections.
#![allow(
    clippy::disallowed_methods,
    reason = "real sockets and runtimes take real time"
)]

mod body;
mod errors;
mod raw;
mod server;
mod uploads;

use std::{convert::Infallible, io, time::Duration};

use body::Slow;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use testing::PATIENCE;
use together_standin::{Answer, Rules, StandIn};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_together::{
    Limits, TogetherLayer, TogetherRetryLayer,
    body::{Opaque, ReplayBuffer},
    extension::RetryReport,
    retry::Budget,
};

/// Retries at once, without a limit on the number.
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
    // Otherwise HTTP/2 waits 40 ms for the ACK of each small frame.
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

/// 1 MiB: more than sockets hold, so that the body is still being sent when an early response arrives.
const BIG: usize = 1 << 20;

/// A response that is dropped unread costs its connection: 20 calls would have 20.
#[tokio::test]
async fn twenty_calls_through_errors_of_100_kb_use_one_connection() {
    for through_both in [false, true] {
        let server = stand_in().await;
        let body = vec![b'x'; 100_000];
        let busy = || {
            let response = Answer::status(503).header("retry-after-ms", 1);
            response
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
                let response = both.layer(http.clone()).oneshot(request).await.unwrap();
                let status = response.status();
                response.into_body().collect().await.unwrap();
                status
            } else {
                let response = retry.layer(http.clone()).oneshot(request).await.unwrap();
                let status = response.status();
                response.into_body().collect().await.unwrap();
                status
            };
            assert_eq!(status, StatusCode::OK);
        }
        assert_eq!(server.stats().arrived, 40);
        assert_eq!(server.accepted_connections(), 1);
    }
}

/// The request is sent once, and its response is returned unchanged.
#[tokio::test]
async fn a_body_over_the_bound_is_no_error() {
    let server = stand_in().await;
    let response = Answer::status(503).body("as it came").times(2);
    server.script("POST", "/files/upload", response);
    let layer = quick().with_replay_buffer(ReplayBuffer::new(BIG - 1, 8 * BIG));
    let service = layer.layer(client(false));
    let request = post(
        &server.url(),
        "/files/upload",
        Opaque::new(Slow::<io::Error>::new(BIG)),
    );
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.extensions().get::<RetryReport>().is_none());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "as it came");
    assert_eq!(server.stats().arrived, 1);
}

/// Promise: a waiting request holds nothing of the inner service.
#[tokio::test(start_paused = true)]
async fn a_backoff_holds_no_permit_of_the_inner_service() {
    let client = service_fn(|request: Request<&'static str>| async move {
        let mut response = http::Response::new(Full::<Bytes>::from("failed"));
        if *request.body() == "fail" {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        }
        Ok::<_, Infallible>(response)
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
