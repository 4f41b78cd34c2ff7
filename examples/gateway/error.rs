//! What goes wrong in the gateway, said as the API says it, so that any SDK understands.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use serde_json::json;
use tower::BoxError;

use crate::client::{TooSlow, with_causes};

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

/// The API was not reached, or did not answer; the layer has tried again already.
pub(crate) fn no_answer(name: &str, error: &BoxError) -> Response<Body> {
    let (status, code) = match error.is::<TooSlow>() {
        true => (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout"),
        false => (StatusCode::BAD_GATEWAY, "upstream_unreachable"),
    };
    let causes = with_causes(&**error);
    answer(
        status,
        code,
        &format!("the gateway got no answer from {name}: {causes}"),
    )
}

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
