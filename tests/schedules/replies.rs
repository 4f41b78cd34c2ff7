//! Server responses, valid ones and ones that no server should send.

use fastrand::Rng;

use crate::schedule::{Reply, Usage};

pub(crate) fn reply(rng: &mut Rng, span: u64) -> Reply {
    let status = match rng.u8(..16) {
        0 | 1 => Some(429),
        2 => Some(503),
        3 => Some(500),
        4 => Some(*rng.choice(&[400, 408]).unwrap()),
        5 => None,
        _ => Some(200),
    };
    let mut headers = vec![("content-type", "application/json")];
    if matches!(status, Some(429 | 503)) && rng.bool() {
        headers.push(("retry-after", rng.choice(WAITS).unwrap()));
    }
    if rng.u8(..4) == 0 {
        for _ in 0..rng.u32(1..4) {
            headers.push((rng.choice(LIMITS).unwrap(), rng.choice(NUMBERS).unwrap()));
        }
    }
    let takes = |rng: &mut Rng| if rng.bool() { 0 } else { rng.u64(..=span / 2) };
    let most = if rng.bool() { 50 } else { 600 };
    let usage = rng.u64(1..most);
    let (body, usage) = match status {
        Some(200) => match rng.u8(..8) {
            0 => (r#"{"choices":[]}"#.to_owned(), Usage::Untold),
            1 => (used(rng.choice(NUMBERS).unwrap()), Usage::Absurd),
            _ => (used(&usage.to_string()), Usage::Told(usage)),
        },
        Some(429 | 400) => (rng.choice(ERRORS).unwrap().to_owned(), Usage::Told(0)),
        _ => (rng.choice(ERRORS).unwrap().to_owned(), Usage::Untold),
    };
    Reply {
        after: takes(rng),
        status,
        headers,
        body,
        body_after: takes(rng),
        body_fails: rng.u8(..16) == 0,
        usage,
    }
}

fn used(tokens: &str) -> String {
    format!(r#"{{"choices":[],"usage":{{"total_tokens":{tokens}}}}}"#)
}

const WAITS: [&str; 7] = ["0", "1", "20", "100000000", "-1", "soon", "0.5"];
const LIMITS: [&str; 8] = [
    "x-ratelimit-limit",
    "x-ratelimit-limit-dynamic",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-tokenlimit-limit",
    "x-tokenlimit-remaining",
    "x-tokenlimit-reset",
    "x-ratelimit-limit-tokens",
];
const NUMBERS: [&str; 14] = [
    "0",
    "1",
    "2.5",
    "10",
    "1000",
    "0.0001",
    "1e300",
    "1e-300",
    "NaN",
    "-1",
    "18446744073709551615",
    "99999999999999999999999",
    "\"many\"",
    "",
];
const ERRORS: [&str; 4] = [
    "",
    r#"{"error":{"message":"1 requests per minute","type":"rate_limit"}}"#,
    r#"{"error":{"message":"too many tokens","type":"dynamic_token_limited"}}"#,
    "<html>",
];
