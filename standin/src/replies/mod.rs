//! Successful answers, in the shapes of the API.
//!
//! They are the same for the same request; nothing in them is random or reads a clock, except
//! that each has an id of its own.

mod embeddings;
mod models;
mod text;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use serde_json::{Value, json};

use crate::{Route, call::Call, error::ApiError, stream::Streams};

/// An answer ready to be sent, once the limits agree.
pub(crate) enum Reply {
    Json(Value),
    /// The events of a stream, in order.
    Events(Vec<Value>),
}

/// What is to be chosen about answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// The length of embedding vectors.
    pub(crate) dimension: usize,
    /// Whether a stream's usage comes in a chunk of its own.
    pub(crate) trailing_usage: bool,
}

impl Reply {
    /// Composes the answer to a call, or says what is wrong with its parameters.
    pub(crate) fn to(call: &Call, shape: &Shape) -> Result<Self, ApiError> {
        match call.route {
            Route::Chat | Route::Completions => Ok(text::reply(call, shape)),
            Route::Embeddings => embeddings::reply(call, shape.dimension).map(Self::Json),
            Route::Images => images(call).map(Self::Json),
            Route::SupportedModels => Ok(Self::Json(models::supported())),
            Route::Models | Route::Other => Ok(Self::Json(models::all())),
        }
    }

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

/// A response with this JSON as its body.
pub(crate) fn json_response(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn images(call: &Call) -> Result<Value, ApiError> {
    let n = match &call.body["n"] {
        Value::Null => 1,
        n => n
            .as_u64()
            .filter(|n| (1..=MAX_IMAGES).contains(n))
            .ok_or_else(|| ApiError::invalid(Some("n"), "`n` must be from 1 to 4."))?,
    };
    // The `.invalid` domain never resolves, so nobody fetches a stranger's picture by accident.
    let image = |index| json!({"index": index, "type": "url", "url": format!("https://standin.invalid/{}/{index}.png", call.id)});
    Ok(json!({
        "id": call.id,
        "model": call.model,
        "object": "list",
        "data": (0..n).map(image).collect::<Vec<_>>(),
    }))
}

/// The date on all answers; fixed, so that they compare equal.
const CREATED: u64 = 1_767_225_600;

/// As many as the API's own schema allows.
const MAX_IMAGES: u64 = 4;
