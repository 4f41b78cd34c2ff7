//! The clients that are compared, each set up as its users set it up.
//!
//! To add one: write a file beside the others, and add a line to [`ALL`]. A limiter implements [`Turns`], and its
//! failed calls are retried as those of the other limiters are. A client with retries of its own implements [`Client`].
//!
//! Time is virtual: read it with `testing::now`, and wait with `tokio::time::sleep`.

mod aws;
mod governor;
mod leaky_bucket;
mod plain;
mod retries;
mod together;
mod tower_resilience;

use futures::future::BoxFuture;

use self::retries::retrying;
use crate::wire::{Call, Wire};

/// A client of one process.
pub(crate) trait Client: Send + Sync {
    /// Sends a call, and again where that may help. Returns whether it succeeded.
    fn call(&self, call: Call) -> BoxFuture<'_, bool>;
}

/// A limiter that lets requests wait.
pub(crate) trait Turns: Send + Sync {
    /// Waits until the attempt may be sent.
    fn turn(&self, call: Call) -> BoxFuture<'_, ()>;
}

/// The limits that a user has read, per minute.
#[derive(Clone, Copy)]
pub(crate) struct Given {
    pub(crate) requests: u32,
    pub(crate) tokens: Option<Tokens>,
}

/// A limit of tokens, and what the user knows about the calls.
#[derive(Clone, Copy)]
pub(crate) struct Tokens {
    pub(crate) per_minute: u32,
    /// The mean of the responses.
    pub(crate) mean: u32,
    /// `max_tokens` of each call.
    pub(crate) most: u32,
}

/// A way to set up a client.
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    /// The mark in the plots.
    pub(crate) mark: &'static str,
    pub(crate) kind: Kind,
    pub(crate) new: fn(Wire, Given) -> Box<dyn Client>,
}

/// The part of a client in the comparison.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// This crate. `given`: the limits are written.
    Own { given: bool },
    /// Another client. `given`: the limits are written.
    Neighbour { given: bool },
    /// A setting that helps with these servers, or that users try there. `own`: of this crate.
    Only {
        own: bool,
        servers: &'static [&'static str],
    },
}

pub(crate) const ALL: [Setup; 13] = [
    Setup {
        name: "tower-together",
        mark: "D",
        kind: Kind::Own { given: false },
        new: together::by_default,
    },
    Setup {
        name: "tower-together, number written",
        mark: "W",
        kind: Kind::Own { given: true },
        new: together::written,
    },
    Setup {
        name: "tower-together, `unpaced`",
        mark: "U",
        kind: Kind::Only {
            own: true,
            servers: &["fixed-minute", "sliding-minute", "bursts-minute"],
        },
        new: together::unpaced,
    },
    Setup {
        name: "tower-together, `unpaced` seconds",
        mark: "S",
        kind: Kind::Only {
            own: true,
            servers: &["seconds", "3000-seconds"],
        },
        new: together::unpaced_seconds,
    },
    Setup {
        name: "tower-together, a quarter each",
        mark: "Q",
        kind: Kind::Only {
            own: true,
            servers: &["processes"],
        },
        new: together::a_quarter,
    },
    Setup {
        name: "governor, burst of 1",
        mark: "g",
        kind: Kind::Neighbour { given: true },
        new: |wire, given| retrying(wire, governor::even(given)),
    },
    Setup {
        name: "governor, full burst",
        mark: "G",
        kind: Kind::Neighbour { given: true },
        new: |wire, given| retrying(wire, governor::full(given)),
    },
    Setup {
        name: "governor, `max_tokens` charged",
        mark: "m",
        kind: Kind::Only {
            own: false,
            servers: &["tokens", "tokens-told"],
        },
        new: |wire, given| retrying(wire, governor::reserving(given)),
    },
    Setup {
        name: "leaky-bucket",
        mark: "L",
        kind: Kind::Neighbour { given: true },
        new: |wire, given| retrying(wire, leaky_bucket::new(given)),
    },
    Setup {
        name: "tower-resilience",
        mark: "T",
        kind: Kind::Neighbour { given: true },
        new: |wire, given| retrying(wire, tower_resilience::new(given)),
    },
    Setup {
        name: "plain bucket",
        mark: "P",
        kind: Kind::Neighbour { given: true },
        new: |wire, given| retrying(wire, plain::new(given)),
    },
    Setup {
        name: "AWS SDKs, adaptive",
        mark: "A",
        kind: Kind::Neighbour { given: false },
        new: aws::adaptive,
    },
    Setup {
        name: "retries alone",
        mark: "R",
        kind: Kind::Neighbour { given: false },
        new: |wire, _| retrying(wire, retries::Unlimited),
    },
];

impl Setup {
    pub(crate) fn is_for(&self, server: &str) -> bool {
        match self.kind {
            Kind::Only { servers, .. } => servers.contains(&server),
            Kind::Own { .. } | Kind::Neighbour { .. } => true,
        }
    }
}
