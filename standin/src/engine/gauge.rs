//! The remaining quota.

use std::{cmp::Reverse, time::Duration};

use super::account::Account;
use crate::{limit::Limit, rules::Unit};

/// The remaining quota of one limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Gauge {
    /// The limit's average rate per second that is in force.
    pub(crate) per_second: f64,
    /// How much more would pass at once.
    pub(crate) remaining: u64,
    /// How long until one passes; zero if one would now.
    pub(crate) wait: Duration,
}

/// The remaining quota of the tightest limits of a route; `None` where there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Gauges {
    /// In requests.
    pub(crate) requests: Option<Gauge>,
    /// In tokens.
    pub(crate) tokens: Option<Gauge>,
}

impl Gauge {
    pub(super) fn of(limit: &Limit, account: &Account) -> Self {
        Self {
            per_second: account.rate(),
            remaining: account.remaining(),
            wait: Duration::from_micros(account.wait(limit, 1)),
        }
    }

    fn is_tighter_than(&self, other: &Self) -> bool {
        let room = |gauge: &Self| (Reverse(gauge.wait), gauge.remaining);
        room(self) < room(other)
    }
}

impl Gauges {
    pub(super) fn add(&mut self, unit: Unit, gauge: Gauge) {
        let place = match unit {
            Unit::Requests => &mut self.requests,
            Unit::Tokens => &mut self.tokens,
        };
        if place.is_none_or(|before| gauge.is_tighter_than(&before)) {
            *place = Some(gauge);
        }
    }
}
