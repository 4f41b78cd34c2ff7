//! A program that calls the gateway.

use std::convert::Infallible;

use axum::body::Body as AxumBody;
use bytes::Bytes;
use futures::SinkExt;
use futures::channel::mpsc;
use http::{HeaderMap, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

/// A request's body, whole or in pieces.
pub(crate) struct Body(UnsyncBoxBody<Bytes, Infallible>);

/// A client with a credential of its own; a clone uses the same connections.
#[derive(Clone)]
pub(crate) struct Program {
    client: Client<HttpConnector, UnsyncBoxBody<Bytes, Infallible>>,
    key: String,
}

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct ReadResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A response that is still arriving.
pub(crate) struct Open {
    response: Response<Incoming>,
    read: String,
}

/// Sends a body piece by piece.
pub(crate) struct Pieces(mpsc::Sender<Result<Frame<Bytes>, Infallible>>);

impl Program {
    pub(crate) fn new(key: &str) -> Self {
        Self::speaking(false, key)
    }

    /// A client for HTTP/2 or HTTP/1.
    pub(crate) fn speaking(http2: bool, key: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new())
                .http2_only(http2)
                .build_http(),
            key: key.to_owned(),
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> ReadResponse {
        self.try_send(request).await.unwrap()
    }

    async fn try_send(
        &self,
        request: Request<Body>,
    ) -> Result<ReadResponse, Box<dyn std::error::Error>> {
        let (head, body) = self.open_raw(request).await?.into_parts();
        Ok(ReadResponse {
            status: head.status,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }

    /// Returns a response's head; its body arrives event by event.
    pub(crate) async fn open(&self, request: Request<Body>) -> Open {
        Open {
            response: self.open_raw(request).await.unwrap(),
            read: String::new(),
        }
    }

    async fn open_raw(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        if !self.key.is_empty() {
            let key = format!("Bearer {}", self.key).parse().unwrap();
            request.headers_mut().entry(AUTHORIZATION).or_insert(key);
        }
        self.client.request(request.map(|body| body.0)).await
    }
}

impl ReadResponse {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }
}

impl Open {
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next event as soon as it is complete; `None` at the end, a premature one included.
    pub(crate) async fn event(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let event = event.to_owned();
                self.read = rest.to_owned();
                return Some(event);
            }
            let frame = self.response.frame().await?.ok()?;
            let data = frame.into_data().ok()?;
            self.read.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// Whether the body breaks off.
    pub(crate) async fn breaks_off(&mut self) -> bool {
        while let Some(frame) = self.response.frame().await {
            if frame.is_err() {
                return true;
            }
        }
        false
    }
}

impl<T: Into<Bytes>> From<Full<T>> for Body
where
    Full<T>: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    fn from(body: Full<T>) -> Self {
        Self(body.boxed_unsync())
    }
}

impl From<String> for Body {
    fn from(body: String) -> Self {
        Full::<Bytes>::from(body).into()
    }
}

/// Lets an API respond with it.
impl From<Body> for AxumBody {
    fn from(body: Body) -> Self {
        Self::new(body.0)
    }
}

/// A body, and the sender of its pieces.
pub(crate) fn channel() -> (Pieces, Body) {
    let (sender, pieces) = mpsc::channel(1);
    (Pieces(sender), Body(StreamBody::new(pieces).boxed_unsync()))
}

impl Pieces {
    pub(crate) async fn send(&mut self, text: &'static str) {
        let frame = Frame::data(Bytes::from(text));
        self.0.send(Ok(frame)).await.unwrap();
    }
}

pub(crate) fn chat(model: &str) -> String {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}]}).to_string()
}

pub(crate) fn streamed(model: &str) -> String {
    json!({"model": model, "stream": true, "messages": []}).to_string()
}

pub(crate) fn embed(model: &str) -> String {
    json!({"model": model, "input": "a"}).to_string()
}
