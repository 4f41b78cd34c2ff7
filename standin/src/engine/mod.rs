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
//! let retry_after = Duration::from_millis(600);
//! assert_eq!(image(&mut engine, 400_000), Decision::Refuse { retry_after });
//! assert_eq!(image(&mut engine, 1_000_000), Decision::Accept);
//! ```

mod meter;

use std::{
    cmp::Reverse,
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use crate::{Route, Rules};
use meter::Meter;

/// Keeps the books of all keys and models, and decides.
#[derive(Clone, Debug)]
pub struct Engine {
    rules: Rules,
    count_refused: bool,
    /// Tells callers apart without keeping their keys.
    hasher: RandomState,
    /// By caller and by the limit's place in the rules.
    meters: HashMap<(u64, usize), Meter>,
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It passes, and has been counted by all limits it touches.
    Accept,
    /// It is over at least one limit.
    Refuse {
        /// After this time, if nothing else is sent, it would pass; not a microsecond earlier.
        retry_after: Duration,
    },
}

/// What the tightest limit a route touches has left.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Gauge {
    /// The limit's average rate in requests per second.
    pub per_second: f64,
    /// How many more requests would pass at once.
    pub remaining: u64,
    /// How long until one passes; zero if one would now.
    pub wait: Duration,
}

impl Engine {
    /// An engine that has seen nothing yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            count_refused: false,
            hasher: RandomState::new(),
            meters: HashMap::new(),
        }
    }

    /// Whether refused requests consume too; they do not by default.
    pub fn count_refused(mut self, count_refused: bool) -> Self {
        self.count_refused = count_refused;
        self
    }

    /// Decides on a request and counts it, in all limits it touches or in none.
    ///
    /// `now_micros` must not go backwards from call to call.
    pub fn decide(&mut self, key: &str, model: &str, route: Route, now_micros: u64) -> Decision {
        let caller = self.hasher.hash_one((key, model));
        let refused = self.wait(caller, route, now_micros) > 0;
        if !refused || self.count_refused {
            for (place, quota) in self.rules.quotas.iter().enumerate() {
                if let Some(meter) = self.meters.get_mut(&(caller, place)) {
                    if quota.routes.contains(&route) {
                        meter.take(&quota.limit, now_micros);
                    }
                }
            }
        }
        if !refused {
            return Decision::Accept;
        }
        // Asked again, because a refusal that counts makes the wait longer.
        Decision::Refuse {
            retry_after: Duration::from_micros(self.wait(caller, route, now_micros)),
        }
    }

    /// What is left for this caller on this route; `None` if nothing limits it.
    pub fn gauge(
        &mut self,
        key: &str,
        model: &str,
        route: Route,
        now_micros: u64,
    ) -> Option<Gauge> {
        let caller = self.hasher.hash_one((key, model));
        self.settled(caller, route, now_micros)
            .min_by_key(|gauge| (Reverse(gauge.wait), gauge.remaining))
    }

    /// Microseconds until all limits of a route let one more request pass.
    fn wait(&mut self, caller: u64, route: Route, now: u64) -> u64 {
        self.settled(caller, route, now)
            .map(|gauge| gauge.wait.as_micros() as u64)
            .max()
            .unwrap_or(0)
    }

    /// The state of each limit the route touches, brought up to `now`.
    fn settled(&mut self, caller: u64, route: Route, now: u64) -> impl Iterator<Item = Gauge> {
        let quotas = self.rules.quotas.iter().enumerate();
        let meters = &mut self.meters;
        quotas
            .filter(move |(_, quota)| quota.routes.contains(&route))
            .map(move |(place, quota)| {
                let meter = meters
                    .entry((caller, place))
                    .or_insert_with(|| Meter::new(&quota.limit));
                meter.settle(&quota.limit, now);
                Gauge {
                    per_second: quota.limit.rate(),
                    remaining: meter.remaining(&quota.limit, now),
                    wait: Duration::from_micros(meter.wait(&quota.limit, now)),
                }
            })
    }
}
