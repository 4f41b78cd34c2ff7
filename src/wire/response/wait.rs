//! Reads how long a server asks to wait.

use std::{
    cell::LazyCell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, header};

use super::date::date;
use crate::wire::json::number;

/// The wait a response asks for: `retry-after-ms`, else `retry-after`, else `x-ratelimit-reset`.
///
/// The SDKs of OpenAI and Together read `retry-after-ms` first. `x-ratelimit-reset`, in seconds, is documented by
/// Together (docs.together.ai/docs/rate-limits), and no SDK reads it. Each value is a number, a duration such as
/// `1m30s`, or a date. If there are several, in one line or in more, the longest counts. A date, and a number
/// that is an instant since 1970, count from the response's own `date`, so no clock needs to be right. `now` is
/// used if the response has no `date`.
///
/// Rounded up to a millisecond. Non-numbers, negative values, past instants, 0 (a rounded-down wait) and
/// numeric instants more than a day ahead are ignored.
pub(crate) fn wait(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    if headers.is_empty() {
        return None;
    }
    let now = LazyCell::new(|| {
        let dated = headers.get(header::DATE);
        let dated = dated.and_then(|value| date(value.to_str().ok()?));
        dated.unwrap_or_else(now)
    });
    let said = |text: &str, unit: f64| match number(text) {
        Some(number) => match instant(number * unit) {
            Some(instant) => until(instant, *now),
            None => whole_millis(number * unit),
        },
        None => span(text).and_then(whole_millis).or_else(|| {
            let wait = date(text)?.duration_since(*now).ok()?;
            whole_millis(wait.as_secs_f64() * 1_000.0)
        }),
    };
    WAITS.into_iter().find_map(|(name, unit)| {
        let lines = headers.get_all(name).into_iter();
        let texts = lines.filter_map(|line| line.to_str().ok());
        // A weekday, which ends with a comma, is ignored like any other word.
        let each = texts.flat_map(|text| text.split(','));
        each.filter_map(|text| said(text.trim(), unit)).max()
    })
}

/// Parses `text` as a duration: a number of units of `unit` milliseconds, or a number with its own unit.
pub(super) fn duration(text: &str, unit: f64) -> Option<Duration> {
    let millis = match number(text) {
        // Servers that send such a number mean an instant, in seconds since 1970.
        Some(number) => Some(number * unit).filter(|millis| *millis < EPOCH),
        None => span(text),
    };
    whole_millis(millis?)
}

/// Parses a duration in Go's format, such as `1m30s`, to milliseconds.
fn span(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut millis = 0.0;
    while !rest.is_empty() {
        let digit = |char: char| char.is_ascii_digit() || char == '.';
        let (count, after) = rest.split_at(rest.find(|char| !digit(char))?);
        let (unit, after) = after.split_at(after.find(digit).unwrap_or(after.len()));
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
        millis += number(count)? * unit;
        rest = after;
    }
    Some(millis)
}

/// The instant in milliseconds since 1970, if the number is an instant and not a wait.
fn instant(millis: f64) -> Option<f64> {
    // Some servers send seconds in a header of milliseconds, or milliseconds in one of seconds.
    let mut both = [millis, millis / 1e3].into_iter();
    both.find(|millis| (EPOCH..100.0 * EPOCH).contains(millis))
}

/// The wait until an instant, in milliseconds since 1970, if it is within a day.
fn until(millis: f64, now: SystemTime) -> Option<Duration> {
    let at = UNIX_EPOCH + Duration::from_secs_f64(millis / 1e3);
    let wait = at.duration_since(now).ok()?;
    let wait = whole_millis(wait.as_secs_f64() * 1e3);
    wait.filter(|wait| *wait <= DAY)
}

/// Rounds up, except for floating-point error; `None` unless above 0.
fn whole_millis(millis: f64) -> Option<Duration> {
    let whole = (millis - INEXACT).ceil();
    // The cast saturates if the value is out of range.
    (millis > 0.0).then(|| Duration::from_millis((whole as u64).max(1)))
}

/// The headers in order of precedence, each with its unit in milliseconds.
const WAITS: [(HeaderName, f64); 3] = [
    (HeaderName::from_static("retry-after-ms"), 1.0),
    (header::RETRY_AFTER, 1e3),
    (HeaderName::from_static("x-ratelimit-reset"), 1e3),
];

/// Units of a duration, in milliseconds.
const UNITS: [(&str, f64); 7] = [
    ("h", 3_600e3),
    ("m", 60e3),
    ("s", 1e3),
    ("ms", 1.0),
    ("us", 1e-3),
    ("µs", 1e-3),
    ("ns", 1e-6),
];

/// Floating-point error in milliseconds: 1.1 s is 1,100.0000000000002 ms.
const INEXACT: f64 = 1e-6;

/// September 2001, in milliseconds since 1970; as a wait, 30 years.
const EPOCH: f64 = 1e12;
const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(headers: &[(&'static str, &str)]) -> Option<Duration> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        wait(&map, || UNIX_EPOCH + Duration::from_secs(NOW))
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
            // Dates, in the three forms of RFC 9110, by the local clock if the response has no `date`.
            (
                &[("retry-after", "Sun, 06 Nov 1994 08:49:39 GMT")],
                ms(2_000),
            ),
            (
                &[("retry-after", "Sunday, 06-Nov-94 08:49:39 GMT")],
                ms(2_000),
            ),
            (&[("retry-after", "Sun Nov  6 08:49:39 1994")], ms(2_000)),
            // Dates by the server's clock, which is an hour fast.
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
            // By precedence; invalid values are skipped.
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
            // Invalid waits, and very long ones, which the caller bounds.
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
            (&[("retry-after", "9e8")], ms(900_000_000_000)),
            (&[], None),
        ] {
            assert_eq!(of(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn every_form_that_an_sdk_reads() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (value, expected) in [
            // Lists: a proxy may join two lines into one.
            ("30,120", ms(120_000)),
            ("120, 30", ms(120_000)),
            ("soon, 30", ms(30_000)),
            ("30, Sun, 06 Nov 1994 08:50:37 GMT", ms(60_000)),
            // Durations in Go's format.
            ("20s", ms(20_000)),
            ("1m30s", ms(90_000)),
            ("6m0s", ms(360_000)),
            ("1h0m0.5s", ms(3_600_500)),
            ("250ms", ms(250)),
            ("0s", None),
            ("1m30", None),
            ("s", None),
            ("-20s", None),
            // Dates.
            ("Sun, 06 Nov 1994 08:49:39 UTC", ms(2_000)),
            ("Sun, 06 Nov 1994 08:49:39 +0000", ms(2_000)),
            ("Sun, 06 Nov 1994 08:49:39 -0000", ms(2_000)),
            ("Sun, 6 Nov 1994 08:49:39 GMT", ms(2_000)),
            ("Sun, 06 Nov 1994 08:49:60 GMT", ms(23_000)),
            ("Wed, 06 Nov 1994 08:49:39 GMT", ms(2_000)),
            ("1994-11-06T08:49:39Z", ms(2_000)),
            // Instants since 1970, within a day.
            ("1000000060", None),
        ] {
            assert_eq!(of(&[("retry-after", value)]), expected, "{value}");
        }
        let lines = [
            ("retry-after", "30"),
            ("retry-after", "120"),
            ("retry-after", "60"),
        ];
        assert_eq!(of(&lines), ms(120_000));
        let lines = [("retry-after", "0"), ("retry-after", "30")];
        assert_eq!(of(&lines), ms(30_000));
    }

    #[test]
    fn an_instant_since_1970_counts_if_it_is_within_a_day() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let date = ("date", "Thu, 26 Nov 2026 20:00:00 GMT");
        for (name, value, expected) in [
            ("retry-after", "1795723230", ms(30_000)),
            ("retry-after", "1795723230.5", ms(30_500)),
            ("retry-after", "1795723230000", ms(30_000)),
            ("retry-after", "1795809600", ms(86_400_000)),
            ("retry-after", "1795809601", None),
            ("retry-after", "1795723200", None),
            ("retry-after", "1795723199", None),
            ("retry-after-ms", "1795723230000", ms(30_000)),
            ("x-ratelimit-reset", "1795723230", ms(30_000)),
        ] {
            assert_eq!(of(&[(name, value), date]), expected, "{name}: {value}");
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
