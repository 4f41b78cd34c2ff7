//! Reads what a server says about its limits.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::wait::duration;
use crate::wire::json::number;
use crate::words::{Each, NamedLimit, Unit};

/// Limits in a response's headers, in units per second; a few a minute give a fraction.
///
/// If both kinds are sent, the dynamic limit is the one in force (docs.together.ai/docs/rate-limits, early
/// 2026, which says of both that they are per second).
pub(crate) fn limits(headers: &HeaderMap) -> Each<NamedLimit> {
    // One walk over the headers: a look-up of each name would hash it.
    let lines = headers.iter().filter(|(name, _)| names_limit(name));
    let lines: Lines<'_> = lines.map(|(name, value)| (name.as_str(), value)).collect();
    if lines.is_empty() {
        return Each::default();
    }
    Each {
        requests: named_limit(&lines, Unit::Requests, &REQUESTS),
        tokens: named_limit(&lines, Unit::Tokens, &TOKENS),
    }
}

/// The headers that describe limits.
type Lines<'a> = SmallVec<[(&'a str, &'a HeaderValue); 8]>;

/// Whether a header describes limits.
pub(crate) fn names_limit(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-ratelimit-") || name.starts_with("x-tokenlimit-")
}

/// Limits named in the words of a 429: "Your rate limits are 600 RPM (10 QPS) and 180000 TPM (3000
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
        // In "600 RPM (10 QPS)" both are right; the last one is the one that is enforced.
        if let Some((of, seconds)) = unit_of(&words[after..]) {
            let number: Option<f64> = word.replace(',', "").parse().ok();
            let limit = number.and_then(|number| believable(number / seconds, of));
            named[of] = limit.or(named[of]);
        }
    }
    named
}

/// The unit that these words begin with, and its period in seconds.
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

/// The period of "per minute", even if it only comes at the end of "6.0 queries and 180000000 tokens per minute".
fn per(words: &[&str]) -> Option<f64> {
    let mut pairs = words.windows(2).filter(|pair| pair[0] == "per");
    match pairs.next()?[1] {
        "second" => Some(1.0),
        "minute" => Some(60.0),
        _ => None,
    }
}

fn named_limit(lines: &Lines<'_>, unit: Unit, names: &Names) -> NamedLimit {
    // The first line counts if a header is repeated.
    let text = |name: &&str| {
        let (_, value) = lines.iter().find(|(line, _)| line == name)?;
        Some(value.to_str().ok()?.trim())
    };
    let find = |names: &[&str]| names.iter().filter_map(text).find_map(number);
    let find_limit = |name: &&str| believable(find(&[name])?, unit);
    let limit = names.limit.iter().find_map(find_limit);
    // A fraction of a request is truncated to none.
    let remaining = find(names.remaining).filter(|remaining| *remaining >= 0.0);
    let remaining = remaining.map(|remaining| remaining as u64);
    // If there are two independent limits, the reset belongs to that of requests.
    let seconds = |text| duration(text, 1e3);
    let find = |names: &[&str]| names.iter().filter_map(text).find_map(seconds);
    let reset = find(names.reset).or_else(|| (remaining == Some(0)).then(|| find(&[RESET]))?);
    // Beside a rate per second, a reset of one second adds nothing to the pace. Rounded up, it would pause for a
    // second a lane that has to wait only a tenth.
    let reset = reset.filter(|reset| limit.is_none() || *reset > A_SECOND);
    NamedLimit {
        limit,
        remaining: remaining.zip(reset),
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

/// A unit's headers, in order of precedence.
struct Names {
    limit: &'static [&'static str],
    remaining: &'static [&'static str],
    reset: &'static [&'static str],
}

const REQUESTS: Names = Names {
    limit: &["x-ratelimit-limit-dynamic", "x-ratelimit-limit"],
    remaining: &["x-ratelimit-remaining-dynamic", "x-ratelimit-remaining"],
    reset: &[RESET],
};

/// The last names were seen on the wire; the others are documented.
const TOKENS: Names = Names {
    limit: &[
        "x-tokenlimit-limit-dynamic",
        "x-ratelimit-limit-tokens-dynamic",
        "x-tokenlimit-limit",
        "x-ratelimit-limit-tokens",
    ],
    remaining: &[
        "x-tokenlimit-remaining-dynamic",
        "x-ratelimit-remaining-tokens-dynamic",
        "x-tokenlimit-remaining",
        "x-ratelimit-remaining-tokens",
    ],
    reset: &["x-tokenlimit-reset"],
};
const RESET: &str = "x-ratelimit-reset";
const A_SECOND: Duration = Duration::from_secs(1);

/// Believable limits, per second: from one an hour to a million a second, and for tokens up to a thousand times
/// that. Other values are ignored as mistakes, or as no limit.
const SLOWEST: f64 = 1.0 / 3_600.0;
const FASTEST: f64 = 1e6;
const FASTEST_TOKENS: f64 = 1e9;

/// Maximum number of words that are read.
const MOST_WORDS: usize = 100;

#[cfg(test)]
mod tests;
