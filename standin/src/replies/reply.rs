//! The body of a success, before it is sent.

use axum::{http::StatusCode, response::Response};
use serde_json::Value;

use crate::{json::json_response, stream::Streams};

/// A response ready to be sent, once the limits agree.
pub(crate) enum Reply {
    Json(Value),
    /// The events of a stream, in order.
    Events(Vec<Value>),
}

/// The parts of a response's shape that a test chooses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// The length of embedding vectors.
    pub(crate) dimension: usize,
    /// Whether a stream's usage comes in a chunk of its own.
    pub(crate) trailing_usage: bool,
}

impl Reply {
    /// How many tokens it reports to have used, if it does.
    pub(crate) fn used(&self) -> Option<u64> {
        let reporting = match self {
            Self::Json(value) => Some(value),
            Self::Events(events) => events.last(),
        };
        reporting?["usage"]["total_tokens"].as_u64()
    }

    pub(crate) fn into_response(self, streams: &Streams) -> Response {
        match self {
            Self::Json(value) => json_response(StatusCode::OK, &value),
            Self::Events(events) => streams.response(&events),
        }
    }
}

/// The date on all responses; fixed, so that they compare equal.
pub(super) const CREATED: u64 = 1_767_225_600;
