//! Reads gRPC's response headers.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

/// The `grpc-status` in a response's headers, if it is not success.
///
/// gRPC failures are HTTP 200. A failure before the first message has its status in the headers
/// ("trailers-only"). A later failure has it in the trailers, when it is too late to retry.
pub(crate) fn grpc_failure(headers: &HeaderMap) -> Option<u32> {
    if headers.is_empty() {
        return None;
    }
    let status = headers.get(STATUS)?.to_str().ok()?.trim().parse().ok()?;
    Some(status).filter(|status| *status != 0)
}

/// The value of `grpc-retry-pushback-ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushback {
    /// The header is missing.
    None,
    /// Wait for exactly this time; zero means retry now.
    Wait(Duration),
    /// Do not retry: the value is negative or not a number
    /// (github.com/grpc/proposal/blob/master/A6-client-retries.md).
    Never,
}

pub(crate) fn pushback(headers: &HeaderMap) -> Pushback {
    let Some(value) = headers.get(PUSHBACK) else {
        return Pushback::None;
    };
    let millis = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    millis.map_or(Pushback::Never, |millis| {
        Pushback::Wait(Duration::from_millis(millis))
    })
}

/// The client exceeds its limits: gRPC's equivalent of 429.
pub(crate) const RESOURCE_EXHAUSTED: u32 = 8;
/// The server is unavailable to all clients: gRPC's equivalent of 503.
pub(crate) const UNAVAILABLE: u32 = 14;

pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_status_is_a_failure_unless_it_is_0() {
        for (value, expected) in [
            ("14", Some(14)),
            ("8", Some(8)),
            ("0", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(grpc_failure(&headers("grpc-status", value)), expected);
        }
        assert_eq!(grpc_failure(&HeaderMap::new()), None);
    }

    #[test]
    fn pushback_has_three_meanings() {
        let ms = |ms| Pushback::Wait(Duration::from_millis(ms));
        for (value, expected) in [
            ("1500", ms(1_500)),
            ("0", ms(0)),
            ("-1", Pushback::Never),
            ("soon", Pushback::Never),
            ("", Pushback::Never),
            ("99999999999999999999", Pushback::Never),
        ] {
            assert_eq!(
                pushback(&headers("grpc-retry-pushback-ms", value)),
                expected
            );
        }
        assert_eq!(pushback(&HeaderMap::new()), Pushback::None);
    }
}
