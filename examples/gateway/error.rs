//! What goes wrong in the gateway, said as the API says it, so that any SDK understands.

use std::time::Duration;

use axum::body::Body;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::json;
use tower::BoxError;

use crate::client::with_causes;

/// `{"error":{"message","type","param","code"}}`.
pub(crate) fn answer(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let kind = match status.is_client_error() {
        true => "invalid_request_error",
        false => "gateway_error",
    };
    let error = json!({"error": {
        "message": message,
        "type": kind,
        "param": null,
        "code": code,
    }});
    let mut answer = Response::new(Body::from(error.to_string()));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

/// The same, of what will be no different the next time: the SDKs send again every 5xx unless they
/// are told not to.
pub(crate) fn lasting(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let mut answer = answer(status, code, message);
    let no = HeaderValue::from_static("false");
    answer.headers_mut().insert(SHOULD_RETRY, no);
    answer
}

/// The API was not reached, or broke off; the layer has tried again already.
pub(crate) fn no_answer(name: &str, error: &BoxError) -> Response<Body> {
    let causes = with_causes(&**error);
    let message = format!("the gateway got no answer from {name}: {causes}");
    answer(StatusCode::BAD_GATEWAY, "upstream_unreachable", &message)
}

/// No answer has begun in the time that there was: another attempt would be another answer to pay.
pub(crate) fn too_slow(name: &str, patience: Duration) -> Response<Body> {
    let message = format!(
        "the gateway got no answer from {name} within {patience:?}: stream it, ask for less, or give \
         your client a longer timeout"
    );
    lasting(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", &message)
}

pub(crate) fn body_broken(error: &axum::Error) -> Response<Body> {
    let message = format!("the request's body broke off: {error}");
    answer(StatusCode::BAD_REQUEST, "body_broken", &message)
}

pub(crate) fn body_too_slow() -> Response<Body> {
    let message =
        "the request's body did not arrive at a megabyte a minute: send it faster, or less";
    answer(StatusCode::REQUEST_TIMEOUT, "body_too_slow", message)
}

pub(crate) fn full() -> Response<Body> {
    let message = "the gateway has no memory left for another request's body: try again soon";
    let mut answer = answer(StatusCode::SERVICE_UNAVAILABLE, "gateway_full", message);
    let soon = HeaderValue::from_static("1");
    answer.headers_mut().insert(RETRY_AFTER, soon);
    answer
}

pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
