//! The decision, without clock or socket. The time is an argument, in microseconds since the server's start.

mod account;
mod decision;
mod gauge;
mod meter;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use self::{account::Account, meter::Correction};
use crate::{
    route::Route,
    rules::{Quota, Rules},
};

pub(crate) use self::{
    decision::{Charge, Decision},
    gauge::{Gauge, Gauges},
};
pub(crate) use crate::rules::Unit;

/// Keeps the books of all keys and models, and decides.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    rules: Rules,
    count_refused: bool,
    /// Tells callers apart without keeping their keys.
    hasher: RandomState,
    /// By caller and by the limit's place in the rules.
    accounts: HashMap<(u64, usize), Account>,
}

impl Engine {
    /// An engine that has seen nothing yet.
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            count_refused: false,
            hasher: RandomState::new(),
            accounts: HashMap::new(),
        }
    }

    /// Whether rejected requests consume too; they do not by default.
    pub(crate) fn count_refused(mut self, count_refused: bool) -> Self {
        self.count_refused = count_refused;
        self
    }

    /// The charge for a request of `tokens` tokens, if it is accepted.
    pub(crate) fn charge(
        &self,
        key: &str,
        model: &str,
        route: Route,
        tokens: u64,
        now_micros: u64,
    ) -> Charge {
        Charge {
            caller: self.hasher.hash_one((key, model)),
            route,
            tokens,
            at: now_micros,
        }
    }

    /// Decides on a charge, at the time it was made, and counts it in all limits it touches or in
    /// none.
    pub(crate) fn decide_on(&mut self, charge: &Charge) -> Decision {
        let decision = self.look_at(charge);
        let granted = decision == Decision::Accept;
        if !granted && !self.count_refused {
            return decision;
        }
        self.visit(charge, charge.at, |quota, account| {
            account.take(&quota.limit, quota.cost(charge.tokens), granted);
        });
        // Asked again, because a rejection that counts makes the wait longer.
        if granted {
            decision
        } else {
            self.look_at(charge)
        }
    }

    /// The decision on a charge, without counting it.
    pub(crate) fn look_at(&mut self, charge: &Charge) -> Decision {
        let mut worst = (0, Unit::Requests);
        self.visit(charge, charge.at, |quota, account| {
            let wait = account.wait(&quota.limit, quota.cost(charge.tokens));
            if wait > worst.0 || (wait == worst.0 && quota.unit == Unit::Requests) {
                worst = (wait, quota.unit);
            }
        });
        match worst {
            (0, _) => Decision::Accept,
            (wait, over) => Decision::Reject {
                retry_after: Duration::from_micros(wait),
                over,
            },
        }
    }

    /// Counts what an accepted request has used in place of what it was charged.
    pub(crate) fn settle(&mut self, charge: &Charge, used: u64, now_micros: u64) {
        let correction = Correction {
            at: charge.at,
            charged: charge.tokens,
            used,
        };
        self.visit(charge, now_micros, |quota, account| {
            if quota.unit == Unit::Tokens {
                account.correct(correction);
            }
        });
    }

    /// The remaining quota of the charge's caller at `now_micros`.
    pub(crate) fn gauges(&mut self, charge: &Charge, now_micros: u64) -> Gauges {
        let mut gauges = Gauges::default();
        self.visit(charge, now_micros, |quota, account| {
            gauges.add(quota.unit, Gauge::of(&quota.limit, account));
        });
        gauges
    }

    /// How many requests a route's limits allow a caller from one time since the start to another:
    /// the integral of the rate. `None` if none is limited, or if that hangs on the caller, as with
    /// [`Limit::dynamic`](crate::Limit::dynamic).
    pub(crate) fn allowed(&self, route: Route, from: Duration, until: Duration) -> Option<f64> {
        let micros = |time: Duration| time.as_micros() as u64;
        self.rules.allowed(route, micros(from), micros(until))
    }

    /// Shows each limit the route touches, and the caller's account with it, brought up to `now`.
    fn visit(&mut self, charge: &Charge, now: u64, mut visitor: impl FnMut(&Quota, &mut Account)) {
        for (place, quota) in self.rules.quotas.iter().enumerate() {
            if quota.routes.contains(&charge.route) {
                let account = self.accounts.entry((charge.caller, place));
                let account = account.or_insert_with(|| Account::new(&quota.limit));
                account.settle(&quota.limit, now);
                visitor(quota, account);
            }
        }
    }
}
