//! The rate limit headers, in the generations that there have been.
//!
//! Rates are per second and may have a fraction, whatever time a limit is for; a reset is a time
//! to wait, not a date.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header::RETRY_AFTER};

use crate::engine::Gauges;

/// Which responses carry rate limit headers, and which of them.
///
/// | header | tells | sent by |
/// |---|---|---|
/// | `x-ratelimit-reset` | the seconds to wait, rounded up | all |
/// | `retry-after`, `x-ratelimit: true` | the same; that it is a rejection | all but the first, on 429 |
/// | `x-ratelimit-limit`, `-remaining` | requests per second, and left at once | all but the first |
/// | `x-ratelimit-limit-tokens`, `-remaining-tokens` | the same of tokens | all but the first |
/// | `x-tokenlimit-limit`, `-remaining` | the same of tokens | [`Everything`](Self::Everything) |
/// | `x-ratelimit-limit-dynamic`, `-remaining-dynamic` | the same of requests | [`Everything`](Self::Everything) |
/// | `x-tokenlimit-limit-dynamic`, `-remaining-dynamic` | the same of tokens | [`Everything`](Self::Everything) |
///
/// They tell what is in force when the request has been decided on, of the tightest limit it
/// touches; those about tokens are only where tokens are limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Headers {
    /// Rejections, with nothing but the reset: what the API's newest documents say.
    ResetOn429,
    /// Rejections, as they were once seen on the wire.
    #[default]
    On429,
    /// None, so a client must find its pace by itself.
    Never,
    /// Rejections as above, and successes without `retry-after`: what older documents say.
    Always,
    /// The same with all the headers that were documented in early 2026.
    Everything,
}

impl Headers {
    /// The headers of an accepted request.
    pub(crate) fn accepted(self, gauges: &Gauges) -> HeaderMap {
        let wait = gauges.requests.map(|gauge| gauge.wait);
        match self {
            Self::Never | Self::ResetOn429 | Self::On429 => HeaderMap::new(),
            Self::Always | Self::Everything => self.gauges(gauges, wait),
        }
    }

    /// The headers of a request that was rejected for this long.
    pub(crate) fn rejected(self, gauges: &Gauges, wait: Duration) -> HeaderMap {
        match self {
            Self::Never => return HeaderMap::new(),
            Self::ResetOn429 => return HeaderMap::from_iter([(RESET, seconds(wait))]),
            Self::On429 | Self::Always | Self::Everything => {}
        }
        let mut headers = self.gauges(gauges, Some(wait));
        headers.insert(RETRY_AFTER, seconds(wait));
        headers.insert(RATELIMIT, HeaderValue::from_static("true"));
        headers
    }

    fn gauges(self, gauges: &Gauges, wait: Option<Duration>) -> HeaderMap {
        let spellings = match self {
            Self::Everything => usize::MAX,
            _ => 1,
        };
        let mut headers = HeaderMap::new();
        headers.extend(wait.map(|wait| (RESET, seconds(wait))));
        for (gauge, names) in [(gauges.requests, REQUESTS), (gauges.tokens, TOKENS)] {
            let Some(gauge) = gauge else { continue };
            for [limit, remaining] in names.iter().take(spellings) {
                let rate = HeaderValue::try_from(gauge.per_second.to_string());
                headers.insert(*limit, rate.expect("a number is ASCII"));
                headers.insert(*remaining, gauge.remaining.into());
            }
        }
        headers
    }
}

/// Whole seconds, rounded up: who waits that long has waited long enough.
fn seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_micros().div_ceil(1_000_000) as u64)
}

const RATELIMIT: HeaderName = HeaderName::from_static("x-ratelimit");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// The limit and what remains, in the spelling that came first and in those that came later.
const REQUESTS: &[[&str; 2]] = &[
    ["x-ratelimit-limit", "x-ratelimit-remaining"],
    ["x-ratelimit-limit-dynamic", "x-ratelimit-remaining-dynamic"],
];
const TOKENS: &[[&str; 2]] = &[
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"],
    ["x-tokenlimit-limit", "x-tokenlimit-remaining"],
    [
        "x-tokenlimit-limit-dynamic",
        "x-tokenlimit-remaining-dynamic",
    ],
];
