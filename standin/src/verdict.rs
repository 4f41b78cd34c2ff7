//! What becomes of a request.

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};

use crate::{
    Answer, Headers, engine::Gauge, error::ApiError, fault::Fault, replies::Reply, stream::Streams,
};

pub(crate) enum Verdict {
    /// By a script, or by chaos.
    Given(Answer),
    Invalid(ApiError),
    Accepted(Reply, Option<Gauge>),
    Refused(Gauge),
}

impl Verdict {
    /// The status it is answered with, if it is answered.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Given(answer) => answer.code(),
            Self::Invalid(error) => Some(error.status()),
            Self::Accepted(..) => Some(StatusCode::OK),
            Self::Refused(_) => Some(StatusCode::TOO_MANY_REQUESTS),
        }
    }

    /// How long it takes, if that is not the server's to say.
    pub(crate) fn delay(&self) -> Option<Duration> {
        match self {
            Self::Given(answer) => answer.delayed(),
            _ => None,
        }
    }

    pub(crate) fn compose(self, headers: Headers, streams: &Streams) -> Result<Response, Fault> {
        Ok(match self {
            Self::Given(answer) => answer.into_response()?,
            Self::Invalid(error) => error.into_response(),
            Self::Accepted(reply, gauge) => {
                let mut response = reply.into_response(streams);
                if let (Headers::Always, Some(gauge)) = (headers, gauge) {
                    put_gauge(&mut response, &gauge);
                }
                response
            }
            Self::Refused(gauge) => {
                let mut response = ApiError::rate_limited(gauge.per_second).into_response();
                if headers != Headers::Never {
                    let headers = response.headers_mut();
                    headers.insert(RETRY_AFTER, seconds(gauge.wait).into());
                    headers.insert(RATELIMIT, HeaderValue::from_static("true"));
                    put_gauge(&mut response, &gauge);
                }
                response
            }
        })
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

const RATELIMIT: HeaderName = HeaderName::from_static("x-ratelimit");
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
