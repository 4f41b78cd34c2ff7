//! The responses of a server.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::Full;

use crate::server::{Says, Tokens, Verdict};

/// The response to a request that was accepted or rejected. A 429 has one of the bodies in `errors`.
pub(crate) fn of(
    verdict: Verdict,
    says: Says,
    tokens: Tokens,
    errors: &[&'static str],
    random: &mut Rng,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(usage(tokens)));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    let wait = verdict.wait.map(whole_seconds);
    if let Some(wait) = wait {
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        let error = random.choice(errors).copied().unwrap_or_default();
        *response.body_mut() = match verdict.by_tokens {
            true => Full::from(error.replace("request_limited", "token_limited")),
            false => Full::from(error),
        };
        if says.in_whole_seconds() {
            response.headers_mut().insert(RETRY_AFTER, wait.into());
        }
    }
    if let Some(per) = says.limits_per() {
        let reset = match (wait, verdict.wait) {
            (Some(wait), _) if says.in_whole_seconds() => wait as f64,
            (_, Some(wait)) => wait.as_secs_f64() + HALF_A_MILLI,
            (_, None) => verdict.reset.as_secs_f64(),
        };
        let headers = response.headers_mut();
        put(headers, "x-ratelimit-limit", per * verdict.limit);
        put(headers, "x-ratelimit-remaining", verdict.remaining.into());
        put(headers, "x-ratelimit-reset", reset);
        if let Some((limit, remaining)) = verdict.tokens {
            put(headers, "x-ratelimit-limit-tokens", per * limit);
            put(headers, "x-ratelimit-remaining-tokens", remaining.into());
        }
    }
    response
}

/// The response of an overloaded platform.
pub(crate) fn busy() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

fn usage(tokens: Tokens) -> String {
    let Tokens { prompt, output } = tokens;
    let total = prompt + output;
    if total == 0 {
        return "{}".to_owned();
    }
    format!(
        r#"{{"usage":{{"prompt_tokens":{prompt},"completion_tokens":{output},"total_tokens":{total}}}}}"#
    )
}

fn put(headers: &mut HeaderMap, name: &'static str, value: f64) {
    // Rounds to the thousandth, as a server would, and writes 10 as "10".
    let value = (value * 1_000.0).round() / 1_000.0;
    headers.insert(name, HeaderValue::try_from(value.to_string()).unwrap());
}

fn whole_seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000_000)).unwrap()
}

/// The most that rounding to the thousandth removes.
const HALF_A_MILLI: f64 = 0.000_5;
