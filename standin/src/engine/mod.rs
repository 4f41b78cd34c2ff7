//! The decision, without clock or socket.
//!
//! [`Engine::decide`] says whether a request passes at a time it is given; so a test can put a
//! client through an hour of traffic in a millisecond. The server asks the same engine with the
//! microseconds since its start.
//!
//! ```
//! use std::time::Duration;
//! use together_standin::engine::{Decision, Engine};
//! use together_standin::{Route, Rules};
//!
//! let mut engine = Engine::new(Rules::default());
//! let image = |engine: &mut Engine, now| engine.decide("key", "model", Route::Images, now);
//! assert_eq!(image(&mut engine, 0), Decision::Accept);
//! let Decision::Refuse { retry_after, .. } = image(&mut engine, 400_000) else { panic!() };
//! assert_eq!(retry_after, Duration::from_millis(600));
//! assert_eq!(image(&mut engine, 1_000_000), Decision::Accept);
//! ```

mod account;
mod decision;
mod gauge;
mod meter;

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

pub use self::{
    decision::{Charge, Decision},
    gauge::{Gauge, Gauges},
};
pub use crate::rules::Unit;

/// Keeps the books of all keys and models, and decides.
#[derive(Clone, Debug)]
pub struct Engine {
    rules: Rules,
    count_refused: bool,
    /// Tells callers apart without keeping their keys.
    hasher: RandomState,
    /// By caller and by the limit's place in the rules.
    accounts: HashMap<(u64, usize), Account>,
}

impl Engine {
    /// An engine that has seen nothing yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            count_refused: false,
            hasher: RandomState::new(),
            accounts: HashMap::new(),
        }
    }

    /// Whether refused requests consume too; they do not by default.
    pub fn count_refused(mut self, count_refused: bool) -> Self {
        self.count_refused = count_refused;
        self
    }

    /// Decides on a request of one token, and counts it in all limits it touches or in none.
    ///
    /// `now_micros` must not go backwards from call to call, of this method or another.
    pub fn decide(&mut self, key: &str, model: &str, route: Route, now_micros: u64) -> Decision {
        let charge = self.charge(key, model, route, 1, now_micros);
        self.decide_on(&charge)
    }

    /// What a request of so many tokens is to be charged, if it is accepted.
    pub fn charge(
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
    pub fn decide_on(&mut self, charge: &Charge) -> Decision {
        let decision = self.look_at(charge);
        let granted = decision == Decision::Accept;
        if !granted && !self.count_refused {
            return decision;
        }
        self.visit(charge, charge.at, |quota, account| {
            account.take(&quota.limit, quota.cost(charge.tokens), granted);
        });
        // Asked again, because a refusal that counts makes the wait longer.
        if granted {
            decision
        } else {
            self.look_at(charge)
        }
    }

    /// What would be decided; nothing is counted.
    pub fn look_at(&mut self, charge: &Charge) -> Decision {
        let mut worst = (0, Unit::Requests);
        self.visit(charge, charge.at, |quota, account| {
            let wait = account.wait(&quota.limit, quota.cost(charge.tokens));
            if wait > worst.0 || (wait == worst.0 && quota.unit == Unit::Requests) {
                worst = (wait, quota.unit);
            }
        });
        match worst {
            (0, _) => Decision::Accept,
            (wait, over) => Decision::Refuse {
                retry_after: Duration::from_micros(wait),
                over,
            },
        }
    }

    /// Counts what an accepted request has used in place of what it was charged.
    pub fn settle(&mut self, charge: &Charge, used: u64, now_micros: u64) {
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

    /// What is left at a time for whom this charge is for.
    pub fn gauges(&mut self, charge: &Charge, now_micros: u64) -> Gauges {
        let mut gauges = Gauges::default();
        self.visit(charge, now_micros, |quota, account| {
            gauges.add(quota.unit, Gauge::of(&quota.limit, account));
        });
        gauges
    }

    /// How many requests a route's limits allow a caller from one time since the start to another:
    /// the integral of the rate. `None` if none is limited, or if that hangs on the caller, as with
    /// [`Limit::dynamic`](crate::Limit::dynamic).
    pub fn allowed(&self, route: Route, from: Duration, until: Duration) -> Option<f64> {
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
