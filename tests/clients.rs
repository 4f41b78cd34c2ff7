//! Real clients and servers over real sockets, and the stand-in at the other end.
#![allow(
    clippy::disallowed_methods,
    reason = "real sockets and runtimes take real time"
)]

use std::{convert::Infallible, net::SocketAddr, num::NonZeroU32, time::Duration};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use together_standin::{Limit, Route, Rules, StandIn};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tower::{Layer, Service, ServiceExt};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, Rejected, TogetherRateLimitLayer,
    body::{Opaque, RequestBody},
    extension::{Deadline, Waited},
    limiter::Reason,
};

const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

/// 6,000 a minute: one every 10 ms. Its margin makes up for 10 ms of lateness, so at most two requests
/// leave at once after a stall.
fn fast() -> Limits {
    let quota = Quota::per_minute(6_000).unwrap();
    let quota = quota.with_margin(Duration::from_millis(40)).unwrap();
    Limits::none().requests(Endpoint::ChatCompletions, quota)
}

/// A stand-in that counts chat completions by `limit`.
async fn strict(limit: Limit) -> StandIn {
    let rules = Rules::none().limit(Route::Chat, limit);
    StandIn::builder().rules(rules).start().await.unwrap()
}

/// A stand-in that accepts everything.
async fn free() -> StandIn {
    let server = StandIn::builder().rules(Rules::none()).start().await;
    server.unwrap()
}

fn client<B>(http2: bool) -> Client<HttpConnector, B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build_http()
}

fn chat<B>(url: &str, body: B) -> Request<B> {
    Request::post(format!("{url}/v1/chat/completions"))
        .header("authorization", "Bearer key")
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

/// The server takes 100 requests a second, and 40 at once. One thread runs client and server, so a
/// request arrives a few turns of the runtime after its departure. At most two leave in a turn, so 40
/// never arrive together, however long a turn takes.
async fn hundred_at_once(http2: bool) {
    let server = strict(Limit::gcra(6_000, MINUTE, AT_ONCE)).await;
    let service = TogetherRateLimitLayer::new(fast()).layer(client::<Full<Bytes>>(http2));
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        calls.spawn(
            service
                .clone()
                .oneshot(chat(&server.url(), Full::from(BODY))),
        );
    }
    let mut waited = 0;
    while let Some(response) = calls.join_next().await {
        let response = response.unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        waited += u32::from(response.extensions().get::<Waited>().is_some());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(body["choices"].is_array(), "{body}");
    }
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.refused), (100, 0));
    assert!(waited > 0);
    assert!(start.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn a_strict_server_never_says_429_over_http1() {
    hundred_at_once(false).await;
}

#[tokio::test]
async fn a_strict_server_never_says_429_over_http2() {
    hundred_at_once(true).await;
}

/// The server refills once an hour, so a slow client is rejected as often as a fast one.
#[tokio::test]
async fn without_the_layer_a_server_takes_what_it_takes_at_once() {
    let server = strict(Limit::gcra(1, HOUR, AT_ONCE)).await;
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let request = chat(&server.url(), Full::from(BODY));
        calls.spawn(client::<Full<Bytes>>(false).oneshot(request));
    }
    while let Some(response) = calls.join_next().await {
        response.unwrap().unwrap();
    }
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.refused), (40, 60));
}

/// Sends one body through the layer, over both versions of HTTP.
async fn send<B>(server: &StandIn, body: impl Fn() -> B)
where
    B: RequestBody + http_body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    for http2 in [false, true] {
        let service = TogetherRateLimitLayer::new(fast()).layer(client::<B>(http2));
        let response = service.oneshot(chat(&server.url(), body())).await.unwrap();
        let name = std::any::type_name::<B>();
        assert_eq!(response.status(), StatusCode::OK, "{name}, HTTP/2: {http2}");
    }
}

#[tokio::test]
async fn every_listed_body_arrives_whole() {
    let server = free().await;
    send(&server, || Full::<Bytes>::from(BODY)).await;
    send(&server, || BODY.to_owned()).await;
    send(&server, || Full::<Bytes>::from(BODY).boxed()).await;
    send(&server, || UnsyncBoxBody::new(Full::<Bytes>::from(BODY))).await;
    send(&server, || Body::from(BODY)).await;
    send(&server, || Opaque::new(Full::<Bytes>::from(BODY))).await;
    send(&server, || Opaque::new(body_of_chunks())).await;
    for http2 in [false, true] {
        let get = Request::get(format!("{}/v1/models", server.url()))
            .header("authorization", "Bearer key")
            .body(Empty::<Bytes>::new());
        let service = TogetherRateLimitLayer::new(fast()).layer(client(http2));
        let response = service.oneshot(get.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

fn body_of_chunks() -> impl http_body::Body<Data = Bytes, Error = Infallible> + Send + Unpin {
    let (first, second) = BODY.split_at(10);
    let frames = [first, second].map(|part| Ok(Frame::data(Bytes::from(part))));
    StreamBody::new(futures::stream::iter(frames))
}

/// Promise: the error type of the inner service is untouched.
#[tokio::test]
async fn the_clients_own_error_comes_through() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let service = TogetherRateLimitLayer::new(fast()).layer(client::<Full<Bytes>>(false));
    let error = service
        .oneshot(chat(&url, Full::from(BODY)))
        .await
        .unwrap_err();
    assert!(error.is_connect(), "{error:?}");
}

#[tokio::test]
async fn an_open_stream_keeps_its_slot_until_its_end() {
    let server = free().await;
    let limits = Limits::none().in_flight(Endpoint::ChatCompletions, NonZeroU32::MIN);
    let limiter = Limiter::new(limits);
    let layer = TogetherRateLimitLayer::from(limiter.clone());
    let service = layer.layer(client::<Full<Bytes>>(false));
    let body = BODY.replace(r#""model""#, r#""stream":true,"model""#);
    let send = || {
        service
            .clone()
            .oneshot(chat(&server.url(), Full::from(body.clone())))
    };
    let slots = || limiter.snapshot().lanes[0].limits[0].left;

    let first = send().await.unwrap();
    assert_eq!(slots(), 0);
    let second = tokio::spawn(send());
    let text = first.into_body().collect().await.unwrap().to_bytes();
    assert!(text.ends_with(b"data: [DONE]\n\n"));
    let second = second.await.unwrap().unwrap();
    assert_eq!(slots(), 0);
    // Hung up in the middle of the stream.
    drop(second);
    assert_eq!(slots(), 1);
}

async fn hi(_: Request<Body>) -> &'static str {
    "hi"
}

fn one_an_hour() -> Limits {
    Limits::none().requests(Endpoint::ChatCompletions, Quota::new(1, HOUR).unwrap())
}

/// One request an hour, and no request waits.
fn impatient() -> TogetherRateLimitLayer {
    let limiter = Limiter::new(one_an_hour());
    limiter.with_max_wait(Duration::ZERO).into()
}

/// `Infallible` stays `Infallible`: no `HandleErrorLayer`.
async fn two_calls<S>(app: S) -> [StatusCode; 2]
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    let mut statuses = [StatusCode::OK; 2];
    for status in &mut statuses {
        let request = Request::get("/v1/chat/completions");
        let response = app
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await;
        *status = response.unwrap().status();
    }
    statuses
}

const PATH: &str = "/v1/chat/completions";

#[tokio::test]
async fn an_axum_app_limits_its_own_callers() {
    // A GET to a chat route is no chat completion: the app classifies its own routes.
    let layer = || {
        let classify = tower_together::Classify::default()
            .with(|_, uri| (uri.path() == PATH).then_some(Endpoint::ChatCompletions));
        impatient().with_classify(classify)
    };
    let rejected = [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS];
    let router = Router::new().route(PATH, get(hi));
    assert_eq!(two_calls(router.clone().layer(layer())).await, rejected);
    assert_eq!(two_calls(router.route_layer(layer())).await, rejected);
    let router = Router::new().route(PATH, get(hi).layer(layer()));
    assert_eq!(two_calls(router).await, rejected);
}

#[tokio::test]
async fn a_hyper_server_limits_its_own_callers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = impatient().layer(tower::service_fn(
        |_: Request<hyper::body::Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hi")))
        },
    ));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    let url = format!("http://{address}");
    let client = client::<Full<Bytes>>(false);
    let response = client.request(chat(&url, Full::from(BODY))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let response = client.request(chat(&url, Full::from(BODY))).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1_800..=3_601).contains(&seconds), "{seconds}");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("max_wait"));
}

/// A proxy: the body of an incoming request is sent on as it arrives.
#[tokio::test]
async fn a_body_that_streams_in_streams_out() {
    let upstream = free().await;
    let url = upstream.url();
    let service = TogetherRateLimitLayer::new(fast()).layer(client::<Body>(false));
    let app = Router::new().fallback(move |request: Request<Body>| {
        let (service, url) = (service.clone(), url.clone());
        async move {
            let (mut parts, body) = request.into_parts();
            parts.uri = format!("{url}{}", parts.uri.path()).parse().unwrap();
            parts.headers.remove("host");
            let response = service.oneshot(Request::from_parts(parts, body)).await;
            response.unwrap().map(Body::new)
        }
    });
    let address = serve(app).await;
    let client = client::<Full<Bytes>>(false);
    let request = chat(&format!("http://{address}"), Full::from(BODY));
    let response = client.request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(upstream.stats().accepted, 1);
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn a_deadline_that_cannot_be_met_is_rejected_before_anything_is_sent() {
    let server = free().await;
    let service = TogetherRateLimitLayer::new(one_an_hour()).layer(client::<Full<Bytes>>(true));
    let send = || {
        service
            .clone()
            .oneshot(with_deadline(chat(&server.url(), Full::from(BODY))))
    };
    assert_eq!(send().await.unwrap().status(), StatusCode::OK);
    let response = send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    // It was rejected on arrival.
    assert!(response.extensions().get::<Waited>().is_none());
    let rejected = response.extensions().get::<Rejected>().unwrap();
    assert_eq!(rejected.reason(), Reason::Deadline);
    assert_eq!(server.stats().arrived, 1);
}

fn with_deadline<B>(mut request: Request<B>) -> Request<B> {
    let deadline = Deadline::within(MINUTE);
    request.extensions_mut().insert(deadline);
    request
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// More than are in flight at a time.
const AT_ONCE: u32 = 40;
