//! A client for the tests.

// Each test binary compiles this file and uses its own part of it.
#![allow(dead_code)]

use std::time::Duration;

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use together_standin::{Builder, StandIn};

/// What came back, read to its end.
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
        Self {
            url: server.url(),
            client: Client::builder(TokioExecutor::new())
                .http2_only(http2)
                .build_http(),
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
        let response = self.open(method, path, key, body).await.unwrap();
        let (head, body) = response.into_parts();
        Got {
            status: head.status,
            headers: head.headers,
            body: to_bytes(Body::new(body), usize::MAX).await.unwrap(),
        }
    }

    /// A response whose body has not been read.
    pub(crate) async fn open(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: String,
    ) -> Result<axum::http::Response<Body>, hyper_util::client::legacy::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        if let Some(key) = key {
            request = request.header("authorization", key);
        }
        let request = request.body(Body::from(body)).unwrap();
        Ok(self.client.request(request).await?.map(Body::new))
    }
}

/// A server that answers at once.
pub(crate) fn quick() -> Builder {
    StandIn::builder().latency(Duration::ZERO..=Duration::ZERO)
}

pub(crate) fn chat() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Hello, who are you?"}]})
}

pub(crate) fn embedding() -> Value {
    json!({"model": "m", "input": "text"})
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
