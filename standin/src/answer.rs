//! Scripted responses.

use std::{fmt::Display, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::Response,
};

use crate::{cut, fault::Fault};

/// A response for [`StandIn::script`](crate::StandIn::script): a response, or a fault in place of
/// one.
///
/// A response's content type is `application/json` unless a header says otherwise.
///
/// ```
/// use std::time::Duration;
/// use together_standin::Answer;
///
/// // A rejection that does not wait for the body, and takes half a second:
/// Answer::status(429).header("retry-after", 1).early().delay(Duration::from_millis(500));
/// // Three connections that break before a response, and one in the middle of a response:
/// Answer::reset().times(3);
/// Answer::status(200).body(r#"{"object":"list"}"#).cut();
/// ```
#[derive(Clone, Debug)]
pub struct Answer {
    outcome: Outcome,
    early: bool,
    delay: Option<Duration>,
    pub(crate) times: u32,
}

#[derive(Clone, Debug)]
enum Outcome {
    Response(Written),
    Fault(Fault),
}

/// A response as it was written down.
#[derive(Clone, Debug)]
struct Written {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    cut: bool,
}

impl Answer {
    /// A response with this status, no headers and no body, to be used once.
    ///
    /// # Panics
    /// If the status is not from 200 to 999; those below 200 do not end a response.
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).ok();
        Self::new(Outcome::Response(Written {
            status: status
                .filter(|status| !status.is_informational())
                .expect("a response's status is a number from 200 to 999"),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            cut: false,
        }))
    }

    /// The request is read, and then nothing comes: the HTTP/1 connection is closed, the HTTP/2
    /// stream is reset with `INTERNAL_ERROR`. Nobody can tell whether it was processed.
    pub fn reset() -> Self {
        Self::new(Outcome::Fault(Fault::Reset))
    }

    /// The HTTP/2 stream is reset with `REFUSED_STREAM`: the request was certainly not processed.
    /// HTTP/1 cannot say that, so there it is a [`reset`](Self::reset).
    pub fn refused_stream() -> Self {
        Self::new(Outcome::Fault(Fault::RefusedStream))
    }

    /// The HTTP/2 connection takes leave with `GOAWAY` and `NO_ERROR`: the streams under way are
    /// finished, except this one, which is reset with `REFUSED_STREAM`. On HTTP/1 it is a
    /// [`reset`](Self::reset).
    pub fn go_away() -> Self {
        Self::new(Outcome::Fault(Fault::GoAway))
    }

    /// All of the server is gone for this long, connections and listener.
    pub(crate) fn outage(duration: Duration) -> Self {
        Self::new(Outcome::Fault(Fault::Outage(duration)))
    }

    fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            early: false,
            delay: None,
            times: 1,
        }
    }

    /// Adds a header, also if there is one of this name.
    ///
    /// # Panics
    /// If the name or the value is not allowed in HTTP, or on a fault, which has no headers.
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        let name = HeaderName::try_from(name).expect("a header name HTTP allows");
        let value = HeaderValue::try_from(value.to_string()).expect("a header value HTTP allows");
        self.written().headers.append(name, value);
        self
    }

    /// Sets the body.
    ///
    /// # Panics
    /// On a fault, which has no body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.written().body = body.into();
        self
    }

    /// Sends the head and the first half of the body, and then breaks: the HTTP/1 connection is
    /// closed, the HTTP/2 stream is reset with `INTERNAL_ERROR`. It is counted by its status.
    ///
    /// # Panics
    /// On a fault, which has nothing to send.
    pub fn cut(mut self) -> Self {
        self.written().cut = true;
        self
    }

    /// Responds as soon as the request's head has arrived, and leaves its body unread; without
    /// this the body is read first. Where one was announced, an HTTP/1 connection is closed then.
    pub fn early(mut self) -> Self {
        self.early = true;
        self
    }

    /// Sets for how many requests it is used.
    ///
    /// # Panics
    /// If that is 0.
    pub fn times(mut self, times: u32) -> Self {
        assert!(
            times > 0,
            "a response used 0 times is never given: write 1 or more"
        );
        self.times = times;
        self
    }

    /// Sets how long it takes, in place of the server's latency; a client's timeout can be tested.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    fn written(&mut self) -> &mut Written {
        match &mut self.outcome {
            Outcome::Response(written) => written,
            Outcome::Fault(_) => panic!("a fault has nothing to say: begin with Answer::status"),
        }
    }

    /// The status; a fault has none.
    pub(crate) fn code(&self) -> Option<StatusCode> {
        match &self.outcome {
            Outcome::Response(written) => Some(written.status),
            Outcome::Fault(_) => None,
        }
    }

    pub(crate) fn delayed(&self) -> Option<Duration> {
        self.delay
    }

    pub(crate) fn is_early(&self) -> bool {
        self.early
    }

    pub(crate) fn into_response(self) -> Result<Response, Fault> {
        match self.outcome {
            Outcome::Response(written) => Ok(written.into_response()),
            Outcome::Fault(fault) => Err(fault),
        }
    }
}

impl Written {
    fn into_response(self) -> Response {
        let body = if self.cut {
            cut::body(self.body)
        } else {
            Body::from(self.body)
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().entry(CONTENT_TYPE).or_insert(json);
        response
    }
}
