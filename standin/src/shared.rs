//! The state that all connections of a server share, and the way of a request through it.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    http::{HeaderName, HeaderValue, header::HOST, request::Parts, uri::Authority},
    response::Response,
};
use tokio::time::Instant;

use crate::{
    books::Books,
    call::{Call, announced_as_json, bearer},
    error::ApiError,
    fault::Fault,
    jobs::{JobRequest, Line, World},
    manner::Manner,
    replies::reply,
    route::{Route, unversioned},
    settle::Unsettled,
    verdict::Verdict,
};

/// The server's state.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) started: Instant,
    pub(crate) owners: RandomState,
    pub(crate) manner: Manner,
    /// Connections open now.
    pub(crate) connections: Arc<AtomicUsize>,
    /// Connections accepted since the start.
    pub(crate) connected: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) books: Mutex<Books>,
}

/// The response to a request, or its fault, and the delay before it.
pub(crate) type Outcome = (Result<Response, Fault>, Duration);

impl Shared {
    /// The books. A panic of another connection does not spoil them: each is a plain value.
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Responds to a request of which only the head is known, if the script wants that.
    pub(crate) fn receive_early(self: &Arc<Self>, head: &Parts) -> Option<Outcome> {
        let (method, path) = (head.method.as_str(), head.uri.path());
        let mut books = self.books();
        let verdict = Verdict::Given(books.script.next_early(method, path)?);
        books.note(self.now(), method, path, &verdict);
        drop(books);
        Some(self.outcome(self.number(), verdict))
    }

    /// Responds to a request. `None` is a body that was too large.
    pub(crate) fn receive(self: &Arc<Self>, head: &Parts, body: Option<&[u8]>) -> Outcome {
        let nth = self.number();
        let verdict = self.judge(&id(nth), head, body);
        self.outcome(nth, verdict)
    }

    fn number(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Decides and keeps the books. What takes long is done before the lock or after it.
    fn judge(&self, id: &str, head: &Parts, body: Option<&[u8]>) -> Verdict {
        let (method, path) = (head.method.as_str(), head.uri.path());
        let call = body
            .ok_or_else(ApiError::too_large)
            .and_then(|body| Call::read(Route::of(method, path), id, head, body))
            .and_then(|call| Ok((reply(&call, &self.manner.shape)?, call)));

        let mut books = self.books();
        let at = self.now();
        let verdict = match (books.script.next(method, path), call) {
            (Some(response), _) => Verdict::Given(response),
            (None, _) if World::takes(unversioned(path)) => match admitted(head, body) {
                Err(error) => Verdict::Invalid(error),
                Ok((key, body)) => {
                    let asked = self.asked(head, &key, body, at);
                    let line = |line: &Line| line.response(&key, &self.manner.shape);
                    let response = books.world.ask(&asked, line);
                    Verdict::Given(match books.world.delay(&asked) {
                        Duration::ZERO => response,
                        delay => response.delay(delay),
                    })
                }
            },
            (None, Err(error)) => Verdict::Invalid(error),
            (None, Ok((reply, call))) => books.decide(&call, reply, at),
        };
        books.note(at, method, path, &verdict);
        verdict
    }

    fn asked<'a>(
        &self,
        head: &'a Parts,
        key: &str,
        body: &'a [u8],
        now: Duration,
    ) -> JobRequest<'a> {
        JobRequest {
            method: head.method.as_str(),
            path: unversioned(head.uri.path()),
            query: head.uri.query().unwrap_or_default(),
            owner: self.owners.hash_one(key),
            body,
            upload: head.extensions.get(),
            host: host(head),
            now,
        }
    }

    /// The time since the start, by the clock that tests can stop.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn outcome(self: &Arc<Self>, nth: u64, verdict: Verdict) -> Outcome {
        let delay = verdict.delay();
        let delay = delay.unwrap_or_else(|| self.manner.latency.nth(nth));
        let unsettled = self.unsettled(&verdict);
        let response = verdict.compose(&self.manner).map(|response| {
            let mut response = match unsettled {
                Some(unsettled) => unsettled.until_sent(response),
                None => response,
            };
            let id = HeaderValue::try_from(id(nth)).expect("an id is ASCII");
            response.headers_mut().entry(REQUEST_ID).or_insert(id);
            response
        });
        (response, delay)
    }

    /// The settlement that is due after a verdict, if its response reports the tokens used.
    fn unsettled(self: &Arc<Self>, verdict: &Verdict) -> Option<Unsettled> {
        let Verdict::Accepted(reply, gauges, charge) = verdict else {
            return None;
        };
        let used = gauges.tokens.and_then(|_| reply.used())?;
        let (shared, charge) = (Arc::clone(self), *charge);
        Some(Unsettled::new(move || {
            let mut books = shared.books();
            let now = shared.now().as_micros() as u64;
            books.engine.settle(&charge, used, now);
        }))
    }
}

/// The key and the body of a request about files or jobs.
fn admitted<'a>(head: &Parts, body: Option<&'a [u8]>) -> Result<(String, &'a [u8]), ApiError> {
    let key = bearer(&head.headers).ok_or_else(ApiError::no_key)?;
    let body = body.ok_or_else(ApiError::too_large)?;
    if World::takes_json(unversioned(head.uri.path())) {
        announced_as_json(&head.headers, body)?;
    }
    Ok((key, body))
}

/// The host that a request was sent to: HTTP/2 has it in the URI.
fn host(head: &Parts) -> &str {
    let given = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = head.uri.authority().map(Authority::as_str);
    authority.or(given).unwrap_or_default()
}

fn id(nth: u64) -> String {
    format!("standin-{nth:08x}")
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
