//! The result of a request.

use std::time::Duration;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::{
    answer::Answer,
    engine::{Charge, Gauges, Unit},
    error::ApiError,
    fault::Fault,
    manner::Manner,
    replies::Reply,
};

pub(crate) enum Verdict {
    /// By a script, or by chaos.
    Given(Answer),
    Invalid(ApiError),
    /// With what it was charged.
    Accepted(Reply, Gauges, Charge),
    /// For this long, by a limit that counts this.
    Rejected(Gauges, Duration, Unit),
}

impl Verdict {
    /// The status of its response, if it gets one.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Given(response) => response.code(),
            Self::Invalid(error) => Some(error.status()),
            Self::Accepted(..) => Some(StatusCode::OK),
            Self::Rejected(..) => Some(StatusCode::TOO_MANY_REQUESTS),
        }
    }

    /// How long it takes, if that is not the server's to say.
    pub(crate) fn delay(&self) -> Option<Duration> {
        match self {
            Self::Given(response) => response.delayed(),
            _ => None,
        }
    }

    pub(crate) fn compose(self, manner: &Manner) -> Result<Response, Fault> {
        Ok(match self {
            Self::Given(response) => response.into_response()?,
            Self::Invalid(error) => error.into_response(),
            Self::Accepted(reply, gauges, _) => {
                let mut response = reply.into_response(&manner.streams);
                let headers = manner.headers.accepted(&gauges);
                response.headers_mut().extend(headers);
                response
            }
            Self::Rejected(gauges, wait, over) => {
                let error = ApiError::rate_limited(&gauges, over);
                let error = match manner.top_level_error_type {
                    true => error.with_type_on_top(),
                    false => error,
                };
                let mut response = error.into_response();
                let headers = manner.headers.rejected(&gauges, wait);
                response.headers_mut().extend(headers);
                response
            }
        })
    }
}
