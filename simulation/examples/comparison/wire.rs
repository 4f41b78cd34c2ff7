//! The calls, and the connection of one process, over which all clients send them.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use simulation::{network::Network, server::Tokens};
use testing::now;
use tokio::time::Instant;

/// One piece of a caller's work.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: usize,
    pub(crate) tokens: Tokens,
}

pub(crate) type Response = io::Result<http::Response<Full<Bytes>>>;

/// The connection of one process.
#[derive(Clone)]
pub(crate) struct Wire {
    network: Network,
    process: usize,
    departures: Arc<Mutex<Vec<Option<Instant>>>>,
}

impl Wire {
    pub(crate) fn new(network: Network, process: usize, calls: usize) -> Self {
        Self {
            network,
            process,
            departures: Arc::new(Mutex::new(vec![None; calls])),
        }
    }

    /// Sends an attempt, and returns the response or the error of the connection.
    pub(crate) async fn send(&self, call: Call) -> Response {
        self.departures.lock().unwrap()[call.number] = Some(now());
        self.network.try_send(self.process, 0, call.tokens).await
    }

    /// The instant at which the last attempt was sent.
    pub(crate) fn departure(&self, call: usize) -> Option<Instant> {
        self.departures.lock().unwrap()[call]
    }
}

impl Call {
    /// The call as a request of Together's API.
    pub(crate) fn request(self) -> Request<Full<Bytes>> {
        let prompt = "word ".repeat(self.tokens.prompt as usize);
        let body = format!(
            r#"{{"model":"m","max_tokens":{MAX_TOKENS},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
        );
        Request::post("https://api.together.ai/v1/chat/completions")
            .extension(self)
            .body(Full::from(body))
            .expect("a valid request")
    }
}

/// Whether an attempt failed for a reason that may pass.
pub(crate) fn should_retry(response: &Response) -> bool {
    let transient = |status: StatusCode| {
        status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE
    };
    response
        .as_ref()
        .map_or(true, |response| transient(response.status()))
}

/// The wait that the server says.
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.as_ref().ok()?.headers().get(RETRY_AFTER)?;
    Some(Duration::from_secs(seconds.to_str().ok()?.parse().ok()?))
}

/// The most tokens that a call lets its response have.
pub(crate) const MAX_TOKENS: u32 = 512;
