//! The rules of a server, and what it says about them.

use std::time::Duration;

use crate::{
    counter::Kind,
    limit::{self, Moves},
};

/// The rules of a server.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub kind: Kind,
    pub moves: Moves,
    /// Tokens a minute, counted beside the requests in the same way.
    pub tokens: Option<f64>,
    /// Whether rejected requests count too.
    pub counts_rejected: bool,
    pub tenant: Tenant,
    /// The seconds from which and until which there is no quota at all.
    pub out: Option<(u64, u64)>,
    pub fails: Fails,
}

/// The shares of accepted requests that fail nevertheless.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fails {
    /// With 503, at once.
    pub busy: f64,
    /// With a connection that is reset in the middle of the response's time.
    pub reset: f64,
}

/// The headers that a server sends about its limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Says {
    /// All headers on every response, and the wait in whole seconds, as observed from Together.
    Limits,
    /// The same with the limit per minute, as proxies with OpenAI's API write it.
    PerMinute,
    /// All headers on every response, but the wait exactly, in `x-ratelimit-reset` alone.
    Exact,
    /// The wait, on 429s only.
    Wait,
    Nothing,
}

/// A tenant with the same key, which takes shares of the limit, and is served first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tenant {
    None,
    /// The server reports the limit without the tenant's part.
    Told(Shares),
    /// The server reports the whole limit.
    Untold(Shares),
}

/// The tenant's share of the limit from each of these seconds on.
pub type Shares = &'static [(u64, f64)];

/// The tokens of a request and of its response.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tokens {
    pub prompt: u32,
    pub output: u32,
}

impl Says {
    /// Whether 429s carry the wait in whole seconds, in `Retry-After`.
    pub(crate) fn in_whole_seconds(self) -> bool {
        matches!(self, Self::Limits | Self::PerMinute | Self::Wait)
    }

    /// The seconds for which the headers give the limit, if they give it.
    pub(crate) fn limits_per(self) -> Option<f64> {
        match self {
            Self::Limits | Self::Exact => Some(1.0),
            Self::PerMinute => Some(60.0),
            Self::Wait | Self::Nothing => None,
        }
    }
}

impl Tenant {
    pub(crate) fn share(self, now: Duration) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Told(shares) | Self::Untold(shares) => limit::at(shares, now),
        }
    }
}
