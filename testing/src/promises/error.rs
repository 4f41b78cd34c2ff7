//! Promises of every error that is read, for the fuzzer and for `tests/parsers`.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use tower_together::ApiError;

/// Reads a response in the format of `corpus/`: a status, headers, an empty line, a body.
pub fn check(input: &[u8]) -> ApiError {
    let (status, headers, body) = super::response::parse(input);
    let error = ApiError::parse(status, &headers, body);
    assert_eq!(error.status(), status);
    assert_short(error.message(), 2_048);
    for name in [error.kind(), error.code(), error.request_id()] {
        assert!(name != Some(""), "empty, not none");
        assert_short(name.unwrap_or_default(), 128);
    }
    let encodings = headers.get_all(header::CONTENT_ENCODING);
    let is = |line: &HeaderValue, name: &[u8]| line.as_bytes().eq_ignore_ascii_case(name);
    let read = String::from_utf8_lossy(body);
    if encodings.iter().all(|line| is(line, b"identity")) {
        assert_eq!(error.text(), read);
    } else if encodings
        .iter()
        .any(|line| is(line, b"gzip") || is(line, b"br"))
    {
        assert_eq!(error.text(), "");
    } else {
        assert!(error.text() == read || error.text().is_empty());
    }
    assert_one_line(&error.to_string());
    assert_one_line(&format!("{error:?}"));
    assert!(error.hint().is_some() || !error.is_out_of_money());
    assert_wait(&headers, error.retry_after());
    assert_same(&headers, &error, &ApiError::parse(status, &headers, body));
    error
}

fn assert_short(text: &str, longest: usize) {
    assert!(text.len() <= longest, "{} bytes", text.len());
    assert_eq!(text, text.trim());
    assert_one_line(text);
}

fn assert_one_line(text: &str) {
    let breaks = |char: char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}');
    assert!(!text.contains(breaks), "{text:?}");
}

/// A wait is never zero. For a plain number it is never too short, and less than a millisecond too long.
fn assert_wait(headers: &HeaderMap, wait: Option<Duration>) {
    assert_ne!(wait, Some(Duration::ZERO));
    let first = WAITS
        .into_iter()
        .find(|(name, _)| headers.contains_key(*name))
        // With several values, the longest counts.
        .filter(|(name, _)| headers.get_all(*name).iter().count() == 1);
    let asked = first.and_then(|(name, unit)| nanos(headers[name].to_str().ok()?, unit));
    if let Some(asked) = asked.filter(|asked| *asked > 0) {
        let wait = wait.expect("a wait was asked for").as_nanos();
        // One nanosecond is allowed for the number's own inexactness; the rest is the precision of floats.
        let inexact = 1 + (asked >> 50);
        assert!(wait + inexact >= asked, "{wait} ns, not {asked}");
        assert!(wait < asked + 1_000_000 + inexact, "{wait} ns, not {asked}");
    }
}

/// Parses a plain decimal, of at most 8 digits before the point and 18 after it, into whole nanoseconds.
fn nanos(text: &str, unit: u128) -> Option<u128> {
    let (whole, part) = text.trim().split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str, longest| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        (plain && text.len() <= longest).then(|| text.parse::<u128>().ok())?
    };
    let part_of = 10_u128.pow(u32::try_from(part.len().min(18)).ok()?);
    Some(digits(whole, 8)? * unit + digits(part, 18)? * unit / part_of)
}

/// Reading a response again gives the same error. A date to wait for counts from now, if the response has no date.
fn assert_same(headers: &HeaderMap, one: &ApiError, other: &ApiError) {
    let dated = |value: &HeaderValue| value.as_bytes().contains(&b':');
    if !headers.get_all(header::RETRY_AFTER).iter().any(dated) {
        assert_eq!(one.retry_after(), other.retry_after());
    }
    let rest = |error: &ApiError| {
        let names = [error.kind(), error.code(), error.request_id()];
        let names = names.map(|name| name.map(str::to_owned));
        (names, error.to_string(), error.text().to_owned())
    };
    assert_eq!(rest(one), rest(other));
}

/// The headers in order of precedence, each with its unit in nanoseconds.
const WAITS: [(&str, u128); 3] = [
    ("retry-after-ms", 1_000_000),
    ("retry-after", 1_000_000_000),
    ("x-ratelimit-reset", 1_000_000_000),
];
