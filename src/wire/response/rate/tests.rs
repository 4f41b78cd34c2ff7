use http::HeaderName;
use proptest::prelude::*;

use super::*;

fn of(headers: &[(&'static str, &str)]) -> Each<NamedLimit> {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    limits(&headers)
}

/// Headers of limits, and some that are close to them.
const NAMES: [&str; 8] = [
    "x-ratelimit-limit",
    "x-ratelimit-limit-dynamic",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-limit-images",
    "x-tokenlimit-limit",
    "ratelimit-limit",
];

/// Values that are no limit, or an absurd one.
const ABSURD: [&str; 10] = [
    "",
    "0",
    "-1",
    "NaN",
    "inf",
    "1e300",
    "1e-9",
    "ten",
    "10 a second",
    "1,000",
];

#[test]
fn every_spelling_of_a_limit_per_second_and_the_dynamic_one_first() {
    for (unit, names) in [(Unit::Requests, REQUESTS), (Unit::Tokens, TOKENS)] {
        let limit = |headers: &[(&'static str, &str)]| {
            let limits = of(headers);
            let other = match unit {
                Unit::Requests => limits.tokens,
                Unit::Tokens => limits.requests,
            };
            assert_eq!(other, NamedLimit::default(), "{headers:?}");
            limits[unit].limit
        };
        for name in names.limit {
            assert_eq!(limit(&[(name, "1000")]), Some(1_000.0), "{name}");
            assert_eq!(limit(&[(name, " 0.02 ")]), Some(0.02), "{name}");
            for absurd in ABSURD {
                assert_eq!(limit(&[(name, absurd)]), None, "{name}: {absurd}");
            }
        }
        let [first, .., last] = names.limit else {
            panic!("{unit:?}")
        };
        assert_eq!(limit(&[(last, "10"), (first, "4.5")]), Some(4.5));
        assert_eq!(limit(&[(last, "10"), (first, "?")]), Some(10.0));
    }
    // 180,000,000 tokens a minute have been seen; no server means that many requests.
    let many = of(&[
        ("x-ratelimit-limit", "3000000"),
        ("x-ratelimit-limit-tokens", "3000000"),
    ]);
    assert_eq!((many.requests.limit, many.tokens.limit), (None, Some(3e6)));
    assert_eq!(of(&[("ratelimit-limit", "10")]), Each::default());
}

/// The headers of a 429 as seen on the wire (github.com/oumi-ai/oumi/pull/1474).
#[test]
fn the_two_budgets_are_independent() {
    let limits = of(&[
        ("x-ratelimit-limit", "0.02"),
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-remaining-tokens", "1000"),
        ("x-ratelimit-reset", "43"),
    ]);
    assert_eq!(limits.requests.limit, Some(0.02));
    let until = Duration::from_secs(43);
    assert_eq!(limits.requests.remaining, Some((0, until)));
    assert_eq!(limits.tokens.limit, Some(1_000.0));
    // The reset does not belong to the tokens.
    assert_eq!(limits.tokens.remaining, None);
}

#[test]
fn what_is_left_and_until_when() {
    let (remaining, reset) = ("x-ratelimit-remaining", "x-ratelimit-reset");
    for (headers, expected) in [
        (&[(remaining, "7"), (reset, "2.5")][..], Some((7, 2_500))),
        (&[(remaining, "0.9"), (reset, "2")], Some((0, 2_000))),
        (&[(remaining, "0"), (reset, "0.25")], Some((0, 250))),
        (
            &[
                ("x-ratelimit-remaining-dynamic", "3"),
                (remaining, "7"),
                (reset, "2"),
            ],
            Some((3, 2_000)),
        ),
        // Beside a rate, one second adds nothing.
        (
            &[("x-ratelimit-limit", "10"), (remaining, "0"), (reset, "1")],
            None,
        ),
        (
            &[("x-ratelimit-limit", "10"), (remaining, "0"), (reset, "2")],
            Some((0, 2_000)),
        ),
        (&[(remaining, "0")], None),
        (&[(reset, "5")], None),
        (&[(remaining, "-1"), (reset, "5")], None),
        (&[(remaining, "NaN"), (reset, "5")], None),
        (&[(remaining, "few"), (reset, "5")], None),
        // A time of day, an unreadable reset, a past one.
        (&[(remaining, "0"), (reset, "1767225600")], None),
        (&[(remaining, "0"), (reset, "soon")], None),
        (&[(remaining, "0"), (reset, "0")], None),
        (&[(remaining, "0"), (reset, "-5")], None),
        // The API documents no reset for tokens.
        (&[("x-ratelimit-remaining-tokens", "0"), (reset, "5")], None),
    ] {
        let expected = expected.map(|(number, millis)| (number, Duration::from_millis(millis)));
        assert_eq!(of(headers).requests.remaining, expected, "{headers:?}");
    }
    for name in TOKENS.remaining {
        let zero = of(&[(name, "0"), (reset, "5")]);
        assert_eq!(
            zero.tokens.remaining,
            Some((0, Duration::from_secs(5))),
            "{name}"
        );
        let own = of(&[(name, "9"), ("x-tokenlimit-reset", "5")]);
        let expected = Some((9, Duration::from_secs(5)));
        assert_eq!(own.tokens.remaining, expected, "{name}");
    }
}

#[test]
fn as_the_api_has_said_it_in_words() {
    for (message, requests, tokens) in [
        (
            "Request was rejected due to request rate limiting. Your rate limits are 600 RPM (10 \
             QPS) and 180000 TPM (3000 TPS). See details: https://docs.together.ai/docs/rate-limits",
            Some(10.0),
            Some(3_000.0),
        ),
        (
            "You have been rate limited. Your rate limit is 60 queries per minute. Please navigate \
             to https://www.together.ai/forms/rate-limit-increase",
            Some(1.0),
            None,
        ),
        (
            "You have reached the rate limit specific to this model x/y-2. The maximum rate limit \
             for this model is 6.0 queries and 180000000 tokens per minute.",
            Some(0.1),
            Some(3e6),
        ),
        (
            "Your rate limits are 1,800 RPM and 250,000 TPM",
            Some(30.0),
            Some(250_000.0 / 60.0),
        ),
        ("5 requests per second", Some(5.0), None),
        ("180000 TPM (3000 TPS)", None, Some(3_000.0)),
        ("600 queries per day", None, None),
        ("max_tokens must be at most 4096 tokens", None, None),
        ("QPS", None, None),
        ("0 QPS, 0 TPS", None, None),
        ("0 RPM (10 QPS)", Some(10.0), None),
        ("", None, None),
    ] {
        let expected = Each { requests, tokens };
        assert_eq!(limits_in_words(message), expected, "{message}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic_and_what_it_finds_is_believable(
        value in "[ -~]{0,20}",
        message in "([0-9.]{0,4} ?(RPM|QPS|TPS|queries per minute|tokens|x)[ (]?){0,4}\\PC{0,20}",
    ) {
        let headers = of(&[("x-ratelimit-limit", &value), ("x-tokenlimit-limit", &value)]);
        let words = limits_in_words(&message);
        for unit in Unit::BOTH {
            for rate in [headers[unit].limit, words[unit]].into_iter().flatten() {
                prop_assert!(rate > 0.0 && rate <= FASTEST_TOKENS, "{rate}");
            }
        }
    }

    #[test]
    fn the_first_line_of_each_header_counts_and_their_order_does_not(
        lines in prop::collection::vec((0..NAMES.len(), "[0-9]{1,3}|\u{e9}|-1|"), 0..20),
    ) {
        let (mut all, mut first) = (HeaderMap::new(), Vec::new());
        for (name, value) in &lines {
            all.append(NAMES[*name], value.parse().unwrap());
            if first.iter().all(|(other, _)| *other != NAMES[*name]) {
                first.push((NAMES[*name], value.as_str()));
            }
        }
        prop_assert_eq!(limits(&all), of(&first));
        first.reverse();
        prop_assert_eq!(limits(&all), of(&first));
    }

    #[test]
    fn what_remains_is_for_a_time_that_can_be(remaining in "[ -~]{0,9}", reset in "[ -~]{0,9}") {
        let limits = of(&[("x-ratelimit-remaining", &remaining), ("x-ratelimit-reset", &reset)]);
        if let Some((_, reset)) = limits.requests.remaining {
            prop_assert!(!reset.is_zero() && reset < Duration::from_secs(1_000_000_000));
        }
    }
}
