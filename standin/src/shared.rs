//! What all connections of a server share, and what happens to a request.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header::RETRY_AFTER, request::Parts},
    response::{IntoResponse, Response},
};

use crate::{
    Headers, Route,
    call::Call,
    engine::{Decision, Engine, Gauge},
    error::ApiError,
    latency::Latency,
    ledger::Ledger,
    replies::Reply,
    route::unversioned,
    script::{Answer, Script},
    stream::Streams,
};

/// The server's state.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) started: Instant,
    pub(crate) headers: Headers,
    pub(crate) dimension: usize,
    pub(crate) latency: Latency,
    pub(crate) streams: Streams,
    pub(crate) requests: AtomicU64,
    pub(crate) books: Mutex<Books>,
}

/// What one request changes for the next. Under one lock, so that the times in the ledger are
/// the very times the engine decided by, in the same order.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) engine: Engine,
    pub(crate) ledger: Ledger,
    pub(crate) script: Script,
}

/// What becomes of a request.
enum Verdict {
    Scripted(Answer),
    Invalid(ApiError),
    Accepted(Reply, Option<Gauge>),
    Refused(Gauge),
}

impl Shared {
    /// The books. A panic of another connection does not spoil them: each is a plain value.
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request, and says after what time. `None` is a body that could not be read.
    pub(crate) fn receive(&self, head: &Parts, body: Option<&[u8]>) -> (Response, Duration) {
        let nth = self.requests.fetch_add(1, Ordering::Relaxed);
        let id = format!("standin-{nth:08x}");
        let verdict = self.judge(&id, head, body);
        let delay = match &verdict {
            Verdict::Scripted(answer) => answer.delayed(),
            _ => None,
        };
        let mut response = self.compose(verdict);
        let id = HeaderValue::try_from(id).expect("an id is ASCII");
        response.headers_mut().entry(REQUEST_ID).or_insert(id);
        (response, delay.unwrap_or_else(|| self.latency.nth(nth)))
    }

    /// Decides and keeps the books. What takes long is done before the lock or after it.
    fn judge(&self, id: &str, head: &Parts, body: Option<&[u8]>) -> Verdict {
        let (method, path) = (head.method.as_str(), head.uri.path());
        let route = Route::of(method, path);
        let name = format!("{method} {}", unversioned(path));
        let call = body
            .ok_or_else(ApiError::too_large)
            .and_then(|body| Call::read(route, id, head, body))
            .and_then(|call| Ok((Reply::to(&call, self.dimension)?, call)));

        let mut books = self.books();
        let at = self.started.elapsed();
        let verdict = match (books.script.next(method, path), call) {
            (Some(answer), _) => Verdict::Scripted(answer),
            (None, Err(error)) => Verdict::Invalid(error),
            (None, Ok((reply, call))) => {
                let now = at.as_micros() as u64;
                let (key, model) = (&call.key, &call.model);
                let decision = books.engine.decide(key, model, route, now);
                let gauge = books.engine.gauge(key, model, route, now);
                match (decision, gauge) {
                    (Decision::Refuse { .. }, Some(gauge)) => Verdict::Refused(gauge),
                    (_, gauge) => Verdict::Accepted(reply, gauge),
                }
            }
        };
        books.ledger.note(at, route, name, verdict.status());
        verdict
    }

    fn compose(&self, verdict: Verdict) -> Response {
        match verdict {
            Verdict::Scripted(answer) => answer.into_response(),
            Verdict::Invalid(error) => error.into_response(),
            Verdict::Accepted(reply, gauge) => {
                let mut response = reply.into_response(&self.streams);
                if let (Headers::Always, Some(gauge)) = (self.headers, gauge) {
                    put_gauge(&mut response, &gauge);
                }
                response
            }
            Verdict::Refused(gauge) => {
                let mut response = ApiError::rate_limited(gauge.per_second).into_response();
                if self.headers != Headers::Never {
                    let headers = response.headers_mut();
                    headers.insert(RETRY_AFTER, seconds(gauge.wait).into());
                    headers.insert(RATELIMIT, HeaderValue::from_static("true"));
                    put_gauge(&mut response, &gauge);
                }
                response
            }
        }
    }
}

impl Verdict {
    fn status(&self) -> StatusCode {
        match self {
            Self::Scripted(answer) => answer.code(),
            Self::Invalid(error) => error.status(),
            Self::Accepted(..) => StatusCode::OK,
            Self::Refused(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

/// Rates are per second and may have a fraction; the reset is a time to wait, not a date.
fn put_gauge(response: &mut Response, gauge: &Gauge) {
    let rate = HeaderValue::try_from(gauge.per_second.to_string()).expect("a number is ASCII");
    let headers = response.headers_mut();
    headers.insert(LIMIT, rate);
    headers.insert(REMAINING, gauge.remaining.into());
    headers.insert(RESET, seconds(gauge.wait).into());
}

/// Whole seconds, rounded up: who waits that long has waited long enough.
fn seconds(wait: Duration) -> u64 {
    wait.as_micros().div_ceil(1_000_000) as u64
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RATELIMIT: HeaderName = HeaderName::from_static("x-ratelimit");
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
