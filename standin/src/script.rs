//! Answers that are set beforehand.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Display,
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::Response,
};

use crate::route::unversioned;

/// An answer for [`StandIn::script`](crate::StandIn::script).
///
/// Its content type is `application/json` unless a header says otherwise.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    times: u32,
    delay: Option<Duration>,
}

impl Answer {
    /// An answer with this status, no headers and no body, to be used once.
    ///
    /// # Panics
    /// If the status is not from 200 to 999; those below 200 do not answer a request.
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).ok();
        Self {
            status: status
                .filter(|status| !status.is_informational())
                .expect("an answer's status is a number from 200 to 999"),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            times: 1,
            delay: None,
        }
    }

    /// Adds a header, also if there is one of this name.
    ///
    /// # Panics
    /// If the name or the value is not allowed in HTTP.
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        let name = HeaderName::try_from(name).expect("a header name HTTP allows");
        let value = HeaderValue::try_from(value.to_string()).expect("a header value HTTP allows");
        self.headers.append(name, value);
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets for how many requests it is used.
    ///
    /// # Panics
    /// If that is 0.
    pub fn times(mut self, times: u32) -> Self {
        assert!(
            times > 0,
            "an answer used 0 times is never given: write 1 or more"
        );
        self.times = times;
        self
    }

    /// Sets how long it takes, in place of the server's latency; a client's timeout can be tested.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    pub(crate) fn code(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn delayed(&self) -> Option<Duration> {
        self.delay
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
            .headers_mut()
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json"));
        response
    }
}

/// The queues of answers, by method and path.
#[derive(Debug, Default)]
pub(crate) struct Script {
    queues: HashMap<(String, String), VecDeque<Answer>>,
}

impl Script {
    pub(crate) fn push(&mut self, method: &str, path: &str, answer: Answer) {
        self.queues
            .entry(place(method, path))
            .or_default()
            .push_back(answer);
    }

    /// The next answer for a request, if there is one; it has been used then.
    pub(crate) fn next(&mut self, method: &str, path: &str) -> Option<Answer> {
        let queue = self.queues.get_mut(&place(method, path))?;
        let answer = queue.front_mut()?;
        if answer.times == 1 {
            return queue.pop_front();
        }
        answer.times -= 1;
        Some(answer.clone())
    }
}

fn place(method: &str, path: &str) -> (String, String) {
    (method.to_owned(), unversioned(path).to_owned())
}
