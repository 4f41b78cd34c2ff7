//! The gateway's own errors, in the API's format, so that every SDK understands them.

pub(crate) mod reword;

use std::{error::Error, iter, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::json;
use tower::BoxError;

/// The gateway's own error, as an extension of its response.
#[derive(Clone)]
pub(crate) struct Own {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// A response with the body `{"error":{"message","type","param","code"}}`.
pub(crate) fn response(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let kind = match status.is_client_error() {
        true => "invalid_request_error",
        false => OWN,
    };
    let mut response = Response::new(Body::from(json(kind, code, message)));
    response.extensions_mut().insert(Own {
        code: code.to_owned(),
        message: message.to_owned(),
    });
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// An error as the last event of a stream.
pub(crate) fn event(code: &str, message: &str) -> Bytes {
    format!("data: {}\n\n", json(OWN, code, message)).into()
}

pub(crate) fn json(kind: &str, code: &str, message: &str) -> String {
    let error = json!({"message": message, "type": kind, "param": null, "code": code});
    json!({"error": error}).to_string()
}

/// A response to an error that a retry would not change. The SDKs retry every 5xx unless a header tells them not to.
pub(crate) fn lasting(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let mut response = response(status, code, message);
    say_final(response.headers_mut());
    response
}

/// Tells SDKs not to retry.
pub(crate) fn say_final(headers: &mut HeaderMap) {
    headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
}

/// A transient failure of the gateway's own; a retry after `wait` makes sense.
pub(crate) fn transient(code: &str, message: &str, wait: Duration) -> Response<Body> {
    let mut response = response(StatusCode::SERVICE_UNAVAILABLE, code, message);
    response
        .headers_mut()
        .insert(RETRY_AFTER, wait.as_secs().max(1).into());
    response
}

/// The API was not reached, or broke its response off.
pub(crate) fn no_response(name: &str, error: &BoxError) -> Response<Body> {
    let causes = with_causes(&**error);
    let message = format!("the gateway got no response from {name}: {causes}");
    response(StatusCode::BAD_GATEWAY, "upstream_unreachable", &message)
}

/// No response began within `patience`. It is not retried: another attempt would be another response to pay for.
pub(crate) fn too_slow(name: &str, patience: Duration) -> Response<Body> {
    let message = format!(
        "the gateway got no response from {name} within {patience:?}: stream it, ask for less, or give \
         your client a longer timeout"
    );
    lasting(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", &message)
}

/// A stream without a first byte. The layer does not retry it either, because the stream was paid for.
pub(crate) fn silent(first_byte: Duration) -> Response<Body> {
    let message = silence(first_byte);
    lasting(StatusCode::GATEWAY_TIMEOUT, SILENT, &message)
}

pub(crate) fn silence(first_byte: Duration) -> String {
    format!("the API sent no byte of the stream within {first_byte:?}")
}

pub(crate) fn body_broken(error: &axum::Error) -> Response<Body> {
    let message = format!("the request's body broke off: {error}");
    response(StatusCode::BAD_REQUEST, "body_broken", &message)
}

pub(crate) fn body_too_slow() -> Response<Body> {
    let message =
        "the request's body did not arrive at a megabyte a minute: send it faster, or less";
    response(StatusCode::REQUEST_TIMEOUT, "body_too_slow", message)
}

pub(crate) fn full() -> Response<Body> {
    let message = "the gateway has no memory left for another request's body: retry soon";
    transient("gateway_full", message, Duration::from_secs(1))
}

/// An error and its causes in one line; hyper reports a refused connection only as "client error".
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let chain = iter::successors(Some(error), |&error| error.source());
    let words: Vec<_> = chain.map(ToString::to_string).collect();
    words.join(": ")
}

pub(crate) const SILENT: &str = "upstream_silent";
const OWN: &str = "gateway_error";
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
