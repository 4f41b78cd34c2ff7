//! The limiter's rejections, as responses that a client of the API understands.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Body;

use super::Whole;
use crate::words::{Reason, Rejected, extension::Waited};

/// The response for a rejected request with these headers: in Together's JSON error shape, or in gRPC's.
pub(crate) fn rejection<R>(rejected: Rejected, request: &HeaderMap) -> Response<Whole<R>>
where
    R: Body<Data = Bytes>,
{
    respond(rejected, is_grpc(request)).map(Whole::own)
}

/// Whether the request is gRPC, and so the response must be.
fn is_grpc(request: &HeaderMap) -> bool {
    let content_type = request.get(header::CONTENT_TYPE);
    let rest = content_type.and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    // `application/grpc-web` is a different protocol.
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

fn respond(rejected: Rejected, grpc: bool) -> Response<Bytes> {
    let mut response = if grpc {
        in_grpc(&rejected)
    } else {
        in_json(&rejected)
    };
    if rejected.waited() > Duration::ZERO {
        let waited = Waited::new(rejected.waited());
        response.extensions_mut().insert(waited);
    }
    response.extensions_mut().insert(rejected);
    response
}

fn in_json(rejected: &Rejected) -> Response<Bytes> {
    let (status, kind) = match rejected.reason() {
        Reason::NeverFits => (StatusCode::BAD_REQUEST, "invalid_request_error"),
        Reason::Closed => (StatusCode::SERVICE_UNAVAILABLE, "limiter_closed"),
        Reason::RedisAway => (StatusCode::SERVICE_UNAVAILABLE, "redis_away"),
        _ => (StatusCode::TOO_MANY_REQUESTS, "local_rate_limited"),
    };
    let error = serde_json::json!({"error": {
        "message": rejected.to_string(),
        "type": kind,
        "param": null,
        "code": rejected.reason().name(),
    }});
    let mut response = Response::new(Bytes::from(error.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    set(headers, header::CONTENT_TYPE, "application/json");
    if let Some(wait) = rejected.retry_after() {
        // Whole seconds, rounded up: a caller told 0 would retry too early.
        let part = u64::from(wait.subsec_nanos() > 0);
        let seconds = wait.as_secs().saturating_add(part);
        headers.insert(header::RETRY_AFTER, seconds.max(1).into());
    } else if status != StatusCode::TOO_MANY_REQUESTS {
        set(headers, SHOULD_RETRY, "false");
    }
    response
}

/// "Trailers-only": the status is in the headers (gRPC over HTTP/2).
fn in_grpc(rejected: &Rejected) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    set(headers, header::CONTENT_TYPE, "application/grpc");
    set(headers, GRPC_STATUS, "8");
    if let Ok(message) = HeaderValue::try_from(percent(&rejected.to_string())) {
        headers.insert(GRPC_MESSAGE, message);
    }
    // gRFC A6: milliseconds to wait, or a negative number for "do not retry".
    let pushback = match (rejected.retry_after(), rejected.reason()) {
        (Some(wait), _) => millis(wait),
        (None, Reason::NeverFits | Reason::Closed) => -1,
        (None, _) => millis(Duration::from_secs(1)),
    };
    headers.insert(GRPC_PUSHBACK, pushback.into());
    response
}

fn millis(wait: Duration) -> i64 {
    i64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(byte.into()),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    })
}

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Endpoint;

    fn rejected(reason: Reason, millis: Option<u64>) -> Rejected {
        let wait = millis.map(Duration::from_millis);
        Rejected::new(reason, Endpoint::ChatCompletions, wait)
    }

    fn text<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap())
    }

    #[test]
    fn a_client_understands_what_it_gets() {
        for (reason, wait, status, retry_after, should_retry) in [
            (Reason::Deadline, Some(1), 429, Some("1"), None),
            (Reason::MaxWait, Some(2_001), 429, Some("3"), None),
            (Reason::QueueFull, Some(0), 429, Some("1"), None),
            (Reason::KeysFull, None, 429, None, None),
            (Reason::NeverFits, None, 400, None, Some("false")),
            (Reason::Closed, None, 503, None, Some("false")),
            (Reason::Closed, Some(2_500), 503, Some("3"), None),
        ] {
            let response = respond(rejected(reason, wait), false);
            assert_eq!(response.status(), status);
            assert_eq!(text(&response, "retry-after"), retry_after);
            assert_eq!(text(&response, "x-should-retry"), should_retry);
            let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(body["error"]["code"], reason.name());
            assert!(body["error"]["message"].as_str().unwrap().contains("chat"));
            let carried = response.extensions().get::<Rejected>().unwrap();
            assert_eq!(carried.reason(), reason);
            assert!(response.extensions().get::<Waited>().is_none());
        }
    }

    /// Regression: rounding an endless wait up overflowed.
    #[test]
    fn the_longest_wait_is_told_too() {
        let rejected = || Rejected::new(Reason::Closed, Endpoint::Images, Some(Duration::MAX));
        let response = respond(rejected(), false);
        assert_eq!(text(&response, "retry-after"), Some("18446744073709551615"));
        let response = respond(rejected(), true);
        let wait = text(&response, "grpc-retry-pushback-ms");
        assert_eq!(wait, Some("9223372036854775807"));
    }

    #[test]
    fn grpc_is_told_in_grpc() {
        let response = respond(rejected(Reason::Deadline, Some(1_500)), true);
        assert_eq!(response.status(), 200);
        assert_eq!(text(&response, "grpc-status"), Some("8"));
        assert_eq!(text(&response, "grpc-retry-pushback-ms"), Some("1500"));
        assert!(response.body().is_empty());
        let closed = respond(rejected(Reason::Closed, None), true);
        assert_eq!(text(&closed, "grpc-retry-pushback-ms"), Some("-1"));
        let restarting = respond(rejected(Reason::Closed, Some(2_500)), true);
        assert_eq!(text(&restarting, "grpc-retry-pushback-ms"), Some("2500"));
    }

    #[test]
    fn a_grpc_message_is_percent_encoded() {
        assert_eq!(percent("50 % \u{e9}"), "50 %25 %C3%A9");
    }
}
