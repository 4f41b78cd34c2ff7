//! A client for the tests.

// Each test binary compiles this file and uses its own part of it.
#![allow(dead_code)]

pub(crate) mod jobs;

use std::{
    convert::Infallible,
    error::Error as _,
    future::poll_fn,
    io,
    net::{SocketAddr, TcpStream},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, HttpBody as _, to_bytes},
    http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE},
};
use http_body::Frame;
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use together_standin::{Builder, StandIn};
use tokio::time::sleep;

/// A response, read to its end.
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status, error type and code; and that the error has all four fields.
    pub(crate) fn error(&self) -> (u16, String, Option<String>) {
        let error = &self.json()["error"];
        let names: Vec<_> = error.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["code", "message", "param", "type"]);
        assert!(!error["message"].as_str().unwrap().is_empty());
        (
            self.status.as_u16(),
            error["type"].as_str().unwrap().to_owned(),
            error["code"].as_str().map(str::to_owned),
        )
    }
}

/// One connection pool, with the key `key`.
#[derive(Clone)]
pub(crate) struct Caller {
    url: String,
    http2: bool,
    client: Client<HttpConnector, Body>,
}

impl Caller {
    pub(crate) fn new(server: &StandIn) -> Self {
        Self::build(server, false)
    }

    /// A caller that speaks HTTP/2 from the first byte.
    pub(crate) fn http2(server: &StandIn) -> Self {
        Self::build(server, true)
    }

    fn build(server: &StandIn, http2: bool) -> Self {
        let mut connector = HttpConnector::new();
        // A request of HTTP/2 is written in pieces, and Nagle's algorithm holds back the last of
        // them for 40 ms.
        connector.set_nodelay(true);
        Self {
            url: server.url(),
            http2,
            client: Client::builder(TokioExecutor::new())
                .http2_only(http2)
                .build(connector),
        }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Got {
        self.send("POST", path, Some("Bearer key"), body.to_string())
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.send("GET", path, Some("Bearer key"), String::new())
            .await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: String,
    ) -> Got {
        self.send_with(method, path, key, &[], body).await
    }

    /// Sends a request with more headers. A body is JSON unless a header says otherwise.
    pub(crate) async fn send_with(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        headers: &[(&str, &str)],
        body: String,
    ) -> Got {
        let request = self.request(method, path, key, headers, body);
        let response = self.client.request(request).await.unwrap().map(Body::new);
        let (head, body) = response.into_parts();
        Got {
            status: head.status,
            headers: head.headers,
            body: to_bytes(Body::new(body), usize::MAX).await.unwrap(),
        }
    }

    /// A chat completion, or why there is none.
    pub(crate) async fn chat(&self) -> Result<Response<Body>, Error> {
        self.chat_with(chat().to_string()).await
    }

    pub(crate) async fn chat_with(&self, body: impl Into<Body>) -> Result<Response<Body>, Error> {
        let path = "/v1/chat/completions";
        self.open("POST", path, Some("Bearer key"), body).await
    }

    /// A response whose body has not been read.
    pub(crate) async fn open(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: impl Into<Body>,
    ) -> Result<Response<Body>, Error> {
        let request = self.request(method, path, key, &[], body);
        Ok(self.client.request(request).await?.map(Body::new))
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Request<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        for (name, value) in key.map(|key| ("authorization", key)).iter().chain(headers) {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body.into()).unwrap();
        if !request.body().is_end_stream() {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().entry(CONTENT_TYPE).or_insert(json);
        }
        request
    }
}

/// Waits until a connection that goes away is gone. A request that comes too soon may be sent on it
/// and fail, as one with `NO_ERROR`. A connection of HTTP/1 is gone at once.
pub(crate) async fn gone(server: &StandIn, caller: &Caller) {
    if caller.http2 {
        until("it is gone", || server.connections() == 0).await;
    }
}

/// The reason of the HTTP/2 reset of a failed request.
pub(crate) fn reason(error: &Error) -> Option<h2::Reason> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            assert!(error.is_remote(), "{error:?}");
            return error.reason();
        }
        source = error.source();
    }
    None
}

/// The bytes of a body, and whether it broke off.
pub(crate) async fn read(mut body: Body) -> (Vec<u8>, bool) {
    let mut read = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        match frame {
            Ok(frame) => read.extend(frame.into_data().unwrap()),
            Err(_) => return (read, true),
        }
    }
    (read, false)
}

/// The body of a client that says one word and then nothing for ever.
pub(crate) fn endless() -> Body {
    Body::new(Endless(Some(Bytes::from_static(b"{"))))
}

struct Endless(Option<Bytes>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut().0.take() {
            Some(word) => Poll::Ready(Some(Ok(Frame::data(word)))),
            None => Poll::Pending,
        }
    }
}

/// Whether the server's port takes connections, and what it says if it does not.
pub(crate) fn connect(url: &str) -> io::Result<TcpStream> {
    let address: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
    TcpStream::connect(address)
}

/// Waits for something that must come true. [`PATIENCE`] counts in real time, even if the test has
/// paused the clock.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// A server that responds at once.
pub(crate) fn quick() -> Builder {
    StandIn::builder().latency(Duration::ZERO..=Duration::ZERO)
}

pub(crate) fn chat() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Hello, who are you?"}]})
}

pub(crate) fn embedding() -> Value {
    json!({"model": "m", "input": "text"})
}

/// Only a hang takes this long, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// Longer than any test runs.
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
