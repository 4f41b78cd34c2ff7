//! A server that records its requests, and layers without long waits.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body};
use http::{Request, Response, StatusCode, request::Parts};
use tokio::net::TcpListener;
use tower_together::{Limits, TogetherLayer, TogetherRetryLayer};

pub(crate) const CHAT: &str = "/v1/chat/completions";
/// A URL whose connections are refused.
pub(crate) const CLOSED: &str = "http://127.0.0.1:1/v1/chat/completions";

pub(crate) struct Server {
    pub(crate) url: String,
    heads: Arc<Mutex<Vec<Parts>>>,
}

impl Server {
    /// Responds to each request as `response` says for its number.
    pub(crate) async fn start<F, A>(response: F) -> Self
    where
        F: Fn(usize, Request<Body>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send,
    {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&heads);
        let app = Router::new().fallback(move |request: Request<Body>| {
            let (head, body) = request.into_parts();
            let mut heads = written.lock().unwrap();
            heads.push(head.clone());
            response(heads.len() - 1, Request::from_parts(head, body))
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, heads }
    }

    /// Fails `times` times, and then succeeds.
    pub(crate) async fn failing(times: usize) -> Self {
        Self::start(move |number, _| async move {
            match number < times {
                true => status(StatusCode::SERVICE_UNAVAILABLE),
                false => Response::new("well".into()),
            }
        })
        .await
    }

    /// The requests that arrived, without their bodies.
    pub(crate) fn heads(&self) -> Vec<Parts> {
        self.heads.lock().unwrap().clone()
    }

    pub(crate) fn chat(&self) -> String {
        format!("{}{CHAT}", self.url)
    }
}

pub(crate) fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// No limit, no long backoff, two attempts.
pub(crate) fn quick() -> TogetherLayer {
    TogetherLayer::new(Limits::none()).with_retry(once_more())
}

pub(crate) fn once_more() -> TogetherRetryLayer {
    let short = Duration::from_millis(2);
    TogetherRetryLayer::default()
        .with_backoff(short, short)
        .with_jitter(Duration::ZERO)
        .with_max_retries(1)
}
