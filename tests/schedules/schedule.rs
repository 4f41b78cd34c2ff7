//! A schedule: tables of limits, an inner service, and requests with their course.

use std::time::Duration;

use testing::table::{Cap, Lane, Table};
use tower_together::{Endpoint, Limiter, Limits};

/// Times are in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// Each table from its time on, the first from the start.
    pub(crate) tables: Vec<(u64, Table)>,
    /// Whether the tables are lines over the limits that this crate supplies.
    pub(crate) over_default: bool,
    pub(crate) reserves: bool,
    pub(crate) learning: bool,
    pub(crate) max_wait: Option<u64>,
    pub(crate) max_waiting: Option<usize>,
    pub(crate) inner: Inner,
    pub(crate) visits: Vec<Visit>,
}

/// The service beneath the limiter.
#[derive(Clone, Debug)]
pub(crate) enum Inner {
    Ready,
    /// Each clone is ready at its second poll.
    SecondPoll,
    /// `tower::limit::ConcurrencyLimit`.
    Limited(usize),
    /// `tower::buffer::Buffer` of 1, over a `ConcurrencyLimit` or none.
    Buffered(Option<usize>),
    /// Ready for the first time, pending for the second, and so on in a circle.
    Flapping(Vec<u64>),
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) at: u64,
    pub(crate) lane: Lane,
    pub(crate) caller: &'static str,
    /// The tokens it is charged, else the limiter's estimate.
    pub(crate) cost: Option<u64>,
    pub(crate) deadline: Option<u64>,
    pub(crate) fate: Handling,
    pub(crate) reply: Reply,
    /// After how long the response's body is dropped, if it has not ended.
    pub(crate) body_dropped: Option<u64>,
}

/// The caller's handling of the response future.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Handling {
    Awaited,
    /// Dropped after this time.
    Dropped(u64),
    /// Polled once, and then not for this time; repeated for each entry.
    Unpolled(Vec<u64>),
}

/// The server's response.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) after: u64,
    /// `None`: the inner service fails.
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: String,
    /// How long its body takes, and whether it then fails.
    pub(crate) body_after: u64,
    pub(crate) body_fails: bool,
    pub(crate) usage: Usage,
}

/// The tokens that a response says its request cost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Usage {
    Untold,
    Told(u64),
    /// A number that may or may not be believed.
    Absurd,
}

impl Schedule {
    pub(crate) fn limiter(&self) -> Limiter {
        let limits = self.limits(&self.tables[0].1);
        let mut limiter = Limiter::new(limits).adaptive(self.learning);
        if let Some(wait) = self.max_wait {
            limiter = limiter.with_max_wait(ms(wait));
        }
        match self.max_waiting {
            Some(requests) => limiter.with_max_waiting(requests),
            None => limiter,
        }
    }

    /// The longest that a limit of the user's makes a request wait, without more requests: a usage is
    /// believed up to ten windows' worth.
    pub(crate) fn longest_debt(&self) -> Duration {
        let lines = self.tables.iter().flat_map(|(_, table)| &table.lines);
        let debts = lines.map(|line| match line.cap {
            Cap::Requests(quota) | Cap::Tokens(quota) => {
                let each =
                    (quota.per() + quota.margin()) / (quota.max() - quota.burst() + 1) as u32;
                each * quota.max() as u32 * 11
            }
            Cap::InFlight(_) => Duration::ZERO,
        });
        debts.max().unwrap_or_default()
    }

    pub(crate) fn limits(&self, table: &Table) -> Limits {
        let limits = match self.over_default {
            true => table.over(Limits::default()),
            false => table.over(Limits::none()),
        };
        match self.reserves {
            true => limits.reserve_max_tokens(),
            false => limits,
        }
    }
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn path(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::ChatCompletions => "/v1/chat/completions",
        Endpoint::Completions => "/v1/completions",
        Endpoint::Embeddings => "/v1/embeddings",
        Endpoint::Rerank => "/v1/rerank",
        other => unreachable!("no schedule has {other:?}"),
    }
}
