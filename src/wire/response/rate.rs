//! What a server says of its limits.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::wait::duration;
use crate::wire::json::number;
use crate::words::{Each, Said, Unit};

/// What an answer's headers say: rates per second, a fraction for a few a minute.
///
/// The dynamic limit is the one in force where both are sent (docs.together.ai/docs/rate-limits, early
/// 2026, which says of both that they are per second).
pub(crate) fn limits(headers: &HeaderMap) -> Each<Said> {
    if !headers.keys().any(names_limit) {
        return Each::default();
    }
    Each {
        requests: said(headers, Unit::Requests, &REQUESTS),
        tokens: said(headers, Unit::Tokens, &TOKENS),
    }
}

/// Whether a header is about limits.
pub(crate) fn names_limit(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-ratelimit-") || name.starts_with("x-tokenlimit-")
}

/// The limits that the words of a 429 name: "Your rate limits are 600 RPM (10 QPS) and 180000 TPM (3000
/// TPS)" (github.com/bespokelabsai/curator/issues/205), "Your rate limit is 60 queries per minute"
/// (github.com/togethercomputer/MoA/issues/27).
pub(crate) fn limits_in_words(message: &str) -> Each<Option<f64>> {
    let words: Vec<&str> = message
        .split(|char: char| char.is_whitespace() || "();".contains(char))
        .map(|word| word.trim_end_matches([',', '.']))
        .filter(|word| !word.is_empty())
        .take(MOST_WORDS)
        .collect();
    let mut named = Each::default();
    for (word, after) in words.iter().zip(1..) {
        // Of "600 RPM (10 QPS)" either will do; the last is what they enforce.
        if let Some((of, seconds)) = unit_of(&words[after..]) {
            let number: Option<f64> = word.replace(',', "").parse().ok();
            let limit = number.and_then(|number| believable(number / seconds, of));
            named[of] = limit.or(named[of]);
        }
    }
    named
}

/// What these words begin to count, and in how many seconds.
fn unit_of(words: &[&str]) -> Option<(Unit, f64)> {
    let (first, rest) = words.split_first()?;
    Some(match *first {
        "QPS" | "RPS" => (Unit::Requests, 1.0),
        "RPM" | "QPM" => (Unit::Requests, 60.0),
        "TPS" => (Unit::Tokens, 1.0),
        "TPM" => (Unit::Tokens, 60.0),
        "queries" | "requests" => (Unit::Requests, per(rest)?),
        "tokens" => (Unit::Tokens, per(rest)?),
        _ => return None,
    })
}

/// "per minute", if only at the end of "6.0 queries and 180000000 tokens per minute".
fn per(words: &[&str]) -> Option<f64> {
    let mut pairs = words.windows(2).filter(|pair| pair[0] == "per");
    match pairs.next()?[1] {
        "second" => Some(1.0),
        "minute" => Some(60.0),
        _ => None,
    }
}

fn said(headers: &HeaderMap, unit: Unit, names: &Names) -> Said {
    let text = |name: &&str| Some(headers.get(*name)?.to_str().ok()?.trim());
    let find = |names: &[&str]| names.iter().filter_map(text).find_map(number);
    let find_limit = |name: &&str| believable(find(&[name])?, unit);
    let limit = names.limit.iter().find_map(find_limit);
    // Less than one is none.
    let left = find(names.left).filter(|left| *left >= 0.0);
    let left = left.map(|left| left as u64);
    // Of two limits that are independent, the reset is that of requests.
    let seconds = |text| duration(text, 1e3);
    let find = |names: &[&str]| names.iter().filter_map(text).find_map(seconds);
    let reset = find(names.reset).or_else(|| (left == Some(0)).then(|| find(&[RESET]))?);
    // Beside a rate per second, a second's reset says nothing that its pace does not know; rounded up,
    // it would stop for a second what has only a tenth to wait.
    let reset = reset.filter(|reset| limit.is_none() || *reset > A_SECOND);
    Said {
        limit,
        left: left.zip(reset),
    }
}

fn believable(per_second: f64, unit: Unit) -> Option<f64> {
    let fastest = match unit {
        Unit::Requests => FASTEST,
        Unit::Tokens => FASTEST_TOKENS,
    };
    (SLOWEST..=fastest)
        .contains(&per_second)
        .then_some(per_second)
}

/// The headers of a unit, the one that counts first.
struct Names {
    limit: &'static [&'static str],
    left: &'static [&'static str],
    reset: &'static [&'static str],
}

const REQUESTS: Names = Names {
    limit: &["x-ratelimit-limit-dynamic", "x-ratelimit-limit"],
    left: &["x-ratelimit-remaining-dynamic", "x-ratelimit-remaining"],
    reset: &[RESET],
};

/// The last were seen on the wire; those before are what the documents name.
const TOKENS: Names = Names {
    limit: &[
        "x-tokenlimit-limit-dynamic",
        "x-ratelimit-limit-tokens-dynamic",
        "x-tokenlimit-limit",
        "x-ratelimit-limit-tokens",
    ],
    left: &[
        "x-tokenlimit-remaining-dynamic",
        "x-ratelimit-remaining-tokens-dynamic",
        "x-tokenlimit-remaining",
        "x-ratelimit-remaining-tokens",
    ],
    reset: &["x-tokenlimit-reset"],
};
const RESET: &str = "x-ratelimit-reset";
const A_SECOND: Duration = Duration::from_secs(1);

/// One an hour, a million a second, and of tokens a thousand times that: what is beyond is no limit, or
/// a mistake.
const SLOWEST: f64 = 1.0 / 3_600.0;
const FASTEST: f64 = 1e6;
const FASTEST_TOKENS: f64 = 1e9;

/// Those that are looked at.
const MOST_WORDS: usize = 100;

#[cfg(test)]
mod tests;
