use std::time::Duration;

use http::{Extensions, HeaderMap, HeaderValue};
use tokio::time::Instant;

use crate::words::extension::Deadline;

/// The caller's deadline: from the extensions, or else from the headers.
pub(crate) fn deadline(
    extensions: &Extensions,
    headers: &HeaderMap,
    now: Instant,
) -> Option<Instant> {
    let deadline = Stated::of(headers).deadline(extensions)?;
    deadline.counted_from(now)
}

/// The statements in the headers of a request.
pub(crate) struct Stated<'a> {
    pub(crate) authorization: Option<&'a HeaderValue>,
    /// The caller's timeout: `grpc-timeout` (gRPC over HTTP/2), else `x-stainless-timeout` (the Stainless SDKs of
    /// Together and OpenAI, in seconds), else `x-stainless-read-timeout` (the Python versions, which send no
    /// other). Invalid values are ignored.
    ///
    /// A read timeout also ends the wait for a response's head, which time in the queue delays.
    timeout: Option<Duration>,
    /// Number of times that the caller's SDK has retried the request. The SDKs of Together and OpenAI state it.
    pub(crate) retries: u32,
}

impl<'a> Stated<'a> {
    /// Looks at each of a request's few headers, which is cheaper than hashing the names.
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let (mut authorization, mut retries) = (None, None);
        let (mut by_grpc, mut whole, mut read) = (None, None, None);
        for (name, value) in headers {
            let text = || value.to_str().ok();
            match name.as_str() {
                "authorization" => authorization = authorization.or(Some(value)),
                "grpc-timeout" => by_grpc = by_grpc.or_else(|| grpc(text()?)),
                "x-stainless-timeout" => whole = text().and_then(seconds),
                "x-stainless-read-timeout" => read = text().and_then(seconds),
                "x-stainless-retry-count" => {
                    let count = || text().and_then(|text| text.parse().ok());
                    retries = retries.or_else(|| Some(count().unwrap_or(0)));
                }
                _ => {}
            }
        }
        Self {
            authorization,
            timeout: by_grpc.or(whole).or(read),
            retries: retries.unwrap_or(0),
        }
    }

    /// The caller's deadline: from the extensions, or else from the headers.
    pub(crate) fn deadline(&self, extensions: &Extensions) -> Option<Deadline> {
        let said = extensions.get::<Deadline>().copied();
        said.or_else(|| self.timeout.map(Deadline::within))
    }
}

/// Parses seconds; `None` if negative, infinite, not a number, zero, or too long for a `Duration`.
fn seconds(value: &str) -> Option<Duration> {
    let timeout = Duration::try_from_secs_f64(value.trim().parse().ok()?).ok()?;
    Some(timeout).filter(|timeout| !timeout.is_zero())
}

/// Parses a gRPC timeout: at most 8 digits and a unit.
fn grpc(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &'static str, value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        Stated::of(&headers).timeout
    }

    #[test]
    fn every_form_and_no_nonsense() {
        let ms = Duration::from_millis;
        for (value, expected) in [
            ("1H", Some(ms(3_600_000))),
            ("2M", Some(ms(120_000))),
            ("3S", Some(ms(3_000))),
            ("40m", Some(ms(40))),
            ("5000u", Some(ms(5))),
            ("6000000n", Some(ms(6))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("", None),
            ("S", None),
            ("-1S", None),
            ("+1S", None),
            ("123456789S", None),
            ("1s", None),
            ("1.5S", None),
        ] {
            assert_eq!(of("grpc-timeout", value), expected, "{value}");
        }
        for (value, expected) in [
            ("60", Some(ms(60_000))),
            ("0.25", Some(ms(250))),
            ("0", None),
            ("-3", None),
            ("NaN", None),
            ("inf", None),
            ("1e300", None),
            ("NOT_GIVEN", None),
        ] {
            assert_eq!(of("x-stainless-timeout", value), expected, "{value}");
            assert_eq!(of("x-stainless-read-timeout", value), expected, "{value}");
        }
    }

    #[test]
    fn the_timeout_of_the_whole_counts_before_that_of_a_read() {
        for (whole, expected) in [("60", 60), ("NOT_GIVEN", 5)] {
            let mut headers = HeaderMap::new();
            headers.insert("x-stainless-read-timeout", "5".parse().unwrap());
            headers.insert("x-stainless-timeout", whole.parse().unwrap());
            let timeout = Stated::of(&headers).timeout;
            assert_eq!(timeout, Some(Duration::from_secs(expected)));
        }
    }

    #[test]
    fn the_first_key_counts_as_in_a_look_up() {
        let mut headers = HeaderMap::new();
        for value in ["Bearer first", "Bearer second"] {
            headers.append("authorization", value.parse().unwrap());
        }
        let stated = Stated::of(&headers);
        assert_eq!(stated.authorization, headers.get("authorization"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(value in "[ -~]{0,24}") {
            of("grpc-timeout", &value);
            of("x-stainless-timeout", &value);
        }
    }
}
