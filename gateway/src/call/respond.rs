//! The response that a program gets: the API's, without the headers between the API and the gateway, and with a hint
//! whether to retry.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use tower_together::{ApiError, extension::RetryReport};

use crate::{
    call::{cut, headers},
    error,
    gateway::Gateway,
    monitor::record::{End, Record},
    upstream::key_rejected,
};

impl Gateway {
    /// Whether the program should not retry. The SDKs retry 408, 409, 429 and every 5xx, each three times. The layer
    /// has already made every retry of these that makes sense, unless the gateway ends before it could.
    pub(crate) fn is_final(&self, status: StatusCode, retried: bool, creates: bool) -> bool {
        let is_exhausted = match status {
            StatusCode::FORBIDDEN => return true,
            StatusCode::TOO_MANY_REQUESTS => retried,
            StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => true,
            _ => status.is_server_error(),
        };
        is_exhausted && (creates || !self.shutdown.is_closing())
    }

    /// The response to a call that the end of the grace period cut before its own response began.
    pub(crate) fn cut(&self, record: &Record) -> Response<Body> {
        self.shutdown.count_cut();
        record.end(End::Cut);
        match record.endpoint.creates() {
            // The job may have been created all the same.
            true => error::lasting(StatusCode::SERVICE_UNAVAILABLE, cut::CODE, cut::MESSAGE),
            false => error::transient(cut::CODE, cut::MESSAGE, self.shutdown.retry_after()),
        }
    }

    /// The API's response as its program gets it.
    pub(crate) fn for_program(&self, response: Response<Body>, creates: bool) -> Response<Body> {
        let (parts, body) = response.into_parts();
        let error = parts.extensions.get::<ApiError>();
        // An error in the body of a success has the status that the error names.
        let status = error.map_or(parts.status, ApiError::status);
        if error.is_some_and(key_rejected::is_about_key) {
            self.complaint.make(self.target.name(), status);
            return key_rejected::response(self.target.name(), status);
        }
        let mut response = Response::new(self.target.key.out_of(body, status));
        *response.status_mut() = parts.status;
        // The error is kept for the log.
        let quotes_key = |error: &&ApiError| self.target.key.is_in(error.message().as_bytes());
        if let Some(error) = error.filter(|error| !quotes_key(error)) {
            response.extensions_mut().insert(error.clone());
        }
        *response.headers_mut() = parts.headers;
        let headers = response.headers_mut();
        headers::for_program(headers, |value| self.target.key.is_in(value));
        let retried = parts.extensions.get::<RetryReport>().is_some();
        if self.is_final(parts.status, retried, creates) {
            error::say_final(headers);
        }
        if is_events(headers) {
            // Tells nginx, if it is in between, not to buffer the stream.
            headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
        }
        response
    }
}

pub(crate) fn is_events(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
