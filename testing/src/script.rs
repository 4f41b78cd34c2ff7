//! A client that gives scripted responses, and records the requests it was sent.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::Instant;
use tower::{BoxError, service_fn, util::BoxCloneService};
use tower_together::extension::Attempt;

use crate::now;

pub type Client = BoxCloneService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

/// The outcome of one attempt.
#[derive(Clone, Debug)]
pub enum Reply {
    Response {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// The connection is refused.
    Refused,
    /// The connection broke at an unknown moment.
    Reset,
}

/// One attempt, as it arrived.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The time since the script began.
    pub at: Duration,
    /// The attempt's number; 0 if the request does not state it.
    pub attempt: u32,
}

#[derive(Clone)]
pub struct Script {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
    start: Instant,
}

pub fn status(status: u16) -> Reply {
    Reply::Response {
        status,
        headers: Vec::new(),
        body: String::new(),
    }
}

impl Reply {
    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        if let Self::Response { headers, .. } = &mut self {
            headers.push((name, value.to_string()));
        }
        self
    }

    pub fn body(mut self, text: impl Into<String>) -> Self {
        if let Self::Response { body, .. } = &mut self {
            *body = text.into();
        }
        self
    }

    fn result(self) -> Result<Response<Full<Bytes>>, BoxError> {
        let (status, headers, body) = match self {
            Self::Response {
                status,
                headers,
                body,
            } => (status, headers, body),
            Self::Refused => return Err(io(std::io::ErrorKind::ConnectionRefused)),
            Self::Reset => return Err(io(std::io::ErrorKind::ConnectionReset)),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        Ok(response)
    }
}

fn io(kind: std::io::ErrorKind) -> BoxError {
    std::io::Error::from(kind).into()
}

impl Script {
    /// Gives `replies` in order, and then successes for ever.
    pub fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            replies: Arc::new(Mutex::new(replies.into_iter().collect())),
            sent: Arc::default(),
            start: now(),
        }
    }

    pub fn client(&self) -> Client {
        let script = self.clone();
        BoxCloneService::new(service_fn(move |request: Request<Full<Bytes>>| {
            let attempt = request.extensions().get::<Attempt>();
            script.sent.lock().unwrap().push(Sent {
                at: script.start.elapsed(),
                attempt: attempt.map_or(0, |attempt| attempt.number()),
            });
            let reply = script.replies.lock().unwrap().pop_front();
            async move { reply.unwrap_or(status(200)).result() }
        }))
    }

    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// The arrival of each attempt, in milliseconds.
    pub fn millis(&self) -> Vec<u128> {
        self.sent().iter().map(|sent| sent.at.as_millis()).collect()
    }
}
