//! The client at the inner end of each stack, and the requests that are sent through it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tower::{BoxError, Service, service_fn};
use tower_together::{Endpoint, Limits, Quota, TogetherRateLimitLayer};

pub(crate) type Body = Full<Bytes>;

/// Takes time for each request, and records when each left, with its headers.
#[derive(Clone)]
pub(crate) struct Server {
    started: Instant,
    takes: Duration,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    left: Vec<(Duration, HeaderMap)>,
    script: VecDeque<StatusCode>,
}

impl Server {
    /// A server whose responses take `takes` milliseconds.
    pub(crate) fn new(takes: u64) -> Self {
        Self {
            started: Instant::now(),
            takes: Duration::from_millis(takes),
            seen: Arc::default(),
        }
    }

    /// Sets the statuses of the next responses; later ones are OK.
    pub(crate) fn responding(self, statuses: impl IntoIterator<Item = u16>) -> Self {
        let statuses = statuses.into_iter().map(StatusCode::from_u16);
        let script = statuses.collect::<Result<_, _>>().unwrap();
        self.seen.lock().unwrap().script = script;
        self
    }

    pub(crate) fn client(
        &self,
    ) -> impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static {
        let server = self.clone();
        service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let status = server.arrived(request);
                sleep(server.takes).await;
                let mut response = Response::new(Body::default());
                *response.status_mut() = status;
                Ok(response)
            }
        })
    }

    fn arrived(&self, request: Request<Body>) -> StatusCode {
        let mut seen = self.seen.lock().unwrap();
        let headers = request.into_parts().0.headers;
        seen.left.push((self.started.elapsed(), headers));
        seen.script.pop_front().unwrap_or(StatusCode::OK)
    }

    /// The second in which each request left, rounded down.
    pub(crate) fn left(&self) -> Vec<u64> {
        let seen = self.seen.lock().unwrap();
        seen.left.iter().map(|(when, _)| when.as_secs()).collect()
    }

    /// The value of the header `name` in each request.
    pub(crate) fn headers(&self, name: &str) -> Vec<Option<String>> {
        let seen = self.seen.lock().unwrap();
        let value = |headers: &HeaderMap| Some(headers.get(name)?.to_str().unwrap().to_owned());
        seen.left
            .iter()
            .map(|(_, headers)| value(headers))
            .collect()
    }
}

/// One request every `seconds` seconds, with a margin of a few milliseconds.
pub(crate) fn every(seconds: u64) -> TogetherRateLimitLayer {
    let quota = Quota::new(1, Duration::from_secs(seconds)).unwrap();
    TogetherRateLimitLayer::new(Limits::none().requests(Endpoint::ChatCompletions, quota))
}

pub(crate) fn chat() -> Request<Body> {
    chat_of("anybody")
}

/// A chat with this key.
pub(crate) fn chat_of(key: &str) -> Request<Body> {
    Request::post("https://api.together.ai/v1/chat/completions")
        .header("authorization", format!("Bearer {key}"))
        .body(Body::from(r#"{"model":"m"}"#))
        .unwrap()
}
