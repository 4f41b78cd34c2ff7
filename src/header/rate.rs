//! How many requests a server says that it takes.

use http::{HeaderMap, HeaderName};

/// Requests per second, where an answer's headers name them; a fraction for a few a minute.
///
/// The dynamic limit is the one in force where both are sent (docs.together.ai/docs/rate-limits, early
/// 2026, which says of both that they are per second).
pub(crate) fn rate(headers: &HeaderMap) -> Option<f64> {
    let said = |name| {
        let value = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
        believable(value)
    };
    said(LIMIT_DYNAMIC).or_else(|| said(LIMIT))
}

/// The same, where the words of a 429 name them: "Your rate limits are 600 RPM (10 QPS) and 180000 TPM
/// (3000 TPS)" (github.com/bespokelabsai/curator/issues/205), "Your rate limit is 60 queries per
/// minute" (github.com/togethercomputer/MoA/issues/27).
pub(crate) fn rate_in_words(message: &str) -> Option<f64> {
    let words: Vec<&str> = message
        .split(|char: char| char.is_whitespace() || "(),;".contains(char))
        .filter(|word| !word.is_empty())
        .take(LONGEST)
        .collect();
    let a_minute = |words: &[&str]| {
        let mut pairs = words.windows(2);
        pairs.any(|pair| pair[0] == "per" && pair[1].starts_with("minute"))
    };
    let unit = |words: &[&str]| match words {
        ["QPS", ..] => Some(1.0),
        ["RPM", ..] => Some(60.0),
        // "6.0 queries and 180000000 tokens per minute" too.
        ["queries" | "requests", rest @ ..] if a_minute(rest) => Some(60.0),
        _ => None,
    };
    let mut named = (1..words.len()).filter_map(|index| {
        let number: f64 = words[index - 1].parse().ok()?;
        believable(number / unit(&words[index..])?)
    });
    // Of "600 RPM (10 QPS)" either will do; the last is what they enforce.
    named.next_back()
}

fn believable(per_second: f64) -> Option<f64> {
    (SLOWEST..=FASTEST)
        .contains(&per_second)
        .then_some(per_second)
}

const LIMIT_DYNAMIC: HeaderName = HeaderName::from_static("x-ratelimit-limit-dynamic");
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");

/// One an hour, and a million a second: what is beyond is no limit, or a mistake.
const SLOWEST: f64 = 1.0 / 3_600.0;
const FASTEST: f64 = 1e6;

/// Words that are looked at.
const LONGEST: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(headers: &[(&'static str, &str)]) -> Option<f64> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        rate(&headers)
    }

    #[test]
    fn per_second_and_fractional_and_the_dynamic_one_first() {
        let limit = |value| of(&[("x-ratelimit-limit", value)]);
        assert_eq!(limit("10"), Some(10.0));
        assert_eq!(limit(" 0.02 "), Some(0.02));
        for absurd in [
            "",
            "0",
            "-1",
            "NaN",
            "inf",
            "1e300",
            "1e-9",
            "ten",
            "10 a second",
        ] {
            assert_eq!(limit(absurd), None, "{absurd}");
        }
        let both = [
            ("x-ratelimit-limit", "10"),
            ("x-ratelimit-limit-dynamic", "4.5"),
        ];
        assert_eq!(of(&both), Some(4.5));
        let one_absurd = [
            ("x-ratelimit-limit", "10"),
            ("x-ratelimit-limit-dynamic", "?"),
        ];
        assert_eq!(of(&one_absurd), Some(10.0));
        assert_eq!(of(&[("x-ratelimit-remaining", "3")]), None);
    }

    #[test]
    fn as_the_api_has_said_it_in_words() {
        for (message, expected) in [
            (
                "Request was rejected due to request rate limiting. Your rate limits are 600 RPM \
                 (10 QPS) and 180000 TPM (3000 TPS). See details: \
                 https://docs.together.ai/docs/rate-limits",
                Some(10.0),
            ),
            (
                "You have been rate limited. Your rate limit is 60 queries per minute. Please \
                 navigate to https://www.together.ai/forms/rate-limit-increase",
                Some(1.0),
            ),
            (
                "You have reached the rate limit specific to this model x/y-2. The maximum rate \
                 limit for this model is 6.0 queries and 180000000 tokens per minute.",
                Some(0.1),
            ),
            ("Your rate limits are 600 RPM", Some(10.0)),
            ("180000 TPM (3000 TPS)", None),
            ("QPS", None),
            ("0 QPS", None),
            ("", None),
        ] {
            assert_eq!(rate_in_words(message), expected, "{message}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_and_what_it_finds_is_believable(
            value in "[ -~]{0,20}",
            message in "([0-9.]{0,4} ?(RPM|QPS|queries per minute|x)[ (]?){0,4}\\PC{0,20}",
        ) {
            let header = of(&[("x-ratelimit-limit", &value)]);
            for rate in [header, rate_in_words(&message)].into_iter().flatten() {
                prop_assert!(rate > 0.0 && rate <= FASTEST, "{rate}");
            }
        }
    }
}
