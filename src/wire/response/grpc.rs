//! What gRPC says in headers.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

/// The `grpc-status` of an answer, if it stands in its headers and is none of success.
///
/// gRPC failures are HTTP 200. One before the first message has its status in the headers
/// ("trailers-only"); one after that has it in the trailers, when it is too late to send again.
pub(crate) fn grpc_failure(headers: &HeaderMap) -> Option<u32> {
    if headers.is_empty() {
        return None;
    }
    let status = headers.get(STATUS)?.to_str().ok()?.trim().parse().ok()?;
    Some(status).filter(|status| *status != 0)
}

/// What `grpc-retry-pushback-ms` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushback {
    /// Nothing.
    None,
    /// To wait exactly so long; zero is now.
    Wait(Duration),
    /// Not to send it again: a negative number, or what is no number
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

/// The server has had enough of this client: 429's word in gRPC.
pub(crate) const RESOURCE_EXHAUSTED: u32 = 8;
/// The server is not there for anybody: 503's word in gRPC.
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
