//! How long a server asks to wait.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header};

/// The wait an answer asks for: `retry-after-ms`, else `retry-after`, else `x-ratelimit-reset`.
///
/// The first is what the SDKs of OpenAI and Together read first; the last, in seconds, is the one
/// that Together documents (docs.together.ai/docs/rate-limits) and no SDK reads. A date in
/// `retry-after` counts from the answer's own `date`, so that no clock need be right; `now` serves
/// where there is none.
///
/// Rounded up to a millisecond. What is no number, negative, or past says nothing, and neither does
/// 0, which is what servers say that round down.
pub(crate) fn wait(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    if headers.is_empty() {
        return None;
    }
    let text = |name| text(headers, name);
    let millis = text(RETRY_AFTER_MS).and_then(|text| whole_millis(number(text)?));
    let after = || {
        let after = text(header::RETRY_AFTER)?;
        match number(after) {
            Some(seconds) => whole_millis(seconds * 1_000.0),
            None => {
                let at = httpdate::parse_http_date(after).ok()?;
                let from = text(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok());
                let wait = at.duration_since(from.unwrap_or_else(now)).ok()?;
                whole_millis(wait.as_secs_f64() * 1_000.0)
            }
        }
    };
    let reset = || seconds(number(text(RATELIMIT_RESET)?)?);
    millis.or_else(after).or_else(reset)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Those of a reset.
pub(super) fn seconds(seconds: f64) -> Option<Duration> {
    // Others who send such headers mean the time of day, in seconds since 1970.
    whole_millis(seconds * 1_000.0).filter(|_| seconds < EPOCH)
}

pub(super) fn number(text: &str) -> Option<f64> {
    // Rust also reads "inf" and "nan", which no server means.
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(number)
}

/// Rounded up, but for what is only a number's own inexactness; `None` unless above 0.
fn whole_millis(millis: f64) -> Option<Duration> {
    let whole = (millis - INEXACT).ceil();
    // Out of range it is the largest number there is.
    (millis > 0.0).then(|| Duration::from_millis((whole as u64).max(1)))
}

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// 1.1 s is 1,100.0000000000002 ms.
const INEXACT: f64 = 1e-6;

/// September 2001; as a wait, 30 years.
const EPOCH: f64 = 1e9;

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    fn of(headers: &[(&'static str, &str)]) -> Option<Duration> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        wait(&headers, || UNIX_EPOCH + Duration::from_secs(NOW))
    }

    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
    const NOW: u64 = 784_111_777;

    #[test]
    fn every_form() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (headers, expected) in [
            (&[("retry-after-ms", "300")][..], ms(300)),
            (&[("retry-after-ms", "0.2")], ms(1)),
            (&[("retry-after", "43")], ms(43_000)),
            (&[("retry-after", " 43 ")], ms(43_000)),
            (&[("retry-after", "0.5")], ms(500)),
            (&[("retry-after", "1.1")], ms(1_100)),
            (&[("retry-after", "0.0001")], ms(1)),
            (&[("x-ratelimit-reset", "43")], ms(43_000)),
            (&[("x-ratelimit-reset", "0.25")], ms(250)),
            // Dates, in the three forms of RFC 9110, by our clock where the server tells no time.
            (
                &[("retry-after", "Sun, 06 Nov 1994 08:49:39 GMT")],
                ms(2_000),
            ),
            (
                &[("retry-after", "Sunday, 06-Nov-94 08:49:39 GMT")],
                ms(2_000),
            ),
            (&[("retry-after", "Sun Nov  6 08:49:39 1994")], ms(2_000)),
            // By the server's clock, which is an hour fast.
            (
                &[
                    ("retry-after", "Sun, 06 Nov 1994 09:49:44 GMT"),
                    ("date", "Sun, 06 Nov 1994 09:49:37 GMT"),
                ],
                ms(7_000),
            ),
            (
                &[
                    ("retry-after", "Sun, 06 Nov 1994 08:49:44 GMT"),
                    ("date", "yesterday"),
                ],
                ms(7_000),
            ),
            // In order; what says nothing is passed over.
            (
                &[
                    ("retry-after-ms", "10"),
                    ("retry-after", "20"),
                    ("x-ratelimit-reset", "30"),
                ],
                ms(10),
            ),
            (
                &[
                    ("retry-after-ms", "soon"),
                    ("retry-after", "20"),
                    ("x-ratelimit-reset", "30"),
                ],
                ms(20_000),
            ),
            (
                &[("retry-after", "0"), ("x-ratelimit-reset", "30")],
                ms(30_000),
            ),
            (
                &[
                    ("retry-after", "Sun, 06 Nov 1994 08:49:36 GMT"),
                    ("x-ratelimit-reset", "30"),
                ],
                ms(30_000),
            ),
            // Nonsense, and far too long, for whoever has a bound of its own.
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "inf")], None),
            (&[("retry-after", "")], None),
            (&[("retry-after", "0")], None),
            (&[("retry-after", "1 s")], None),
            (&[("retry-after", "\u{e9}")], None),
            (&[("x-ratelimit-reset", "1767225600")], None),
            (
                &[("retry-after", "1e300")],
                Some(Duration::from_millis(u64::MAX)),
            ),
            (&[], None),
        ] {
            assert_eq!(of(headers), expected, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_and_no_wait_is_nothing(
            name in prop::sample::select(vec!["retry-after-ms", "retry-after", "x-ratelimit-reset"]),
            value in "[ -~]{0,40}",
            date in "[ -~]{0,40}",
        ) {
            prop_assert_ne!(of(&[(name, &value), ("date", &date)]), Some(Duration::ZERO));
        }

        #[test]
        fn never_early_and_less_than_a_millisecond_late(seconds in 0.0..1e6f64) {
            let wait = of(&[("retry-after", &seconds.to_string())]).unwrap_or_default();
            let late = wait.as_secs_f64() - seconds;
            prop_assert!((-1e-8..0.001_000_01).contains(&late), "{late}");
        }
    }
}
