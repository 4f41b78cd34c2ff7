//! A server whose limit moves. Pure: the time is an argument.

use std::{ops::Range, time::Duration};

use crate::{
    counter::{Counter, Kind},
    limit::{Limit, Moves},
};

/// The rules of a server.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub kind: Kind,
    pub moves: Moves,
    /// Whether rejected requests count too.
    pub counts_rejected: bool,
    pub tenant: Tenant,
}

/// The headers that a server sends about its limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Says {
    /// All headers on every response, and the wait in whole seconds, as observed from Together.
    Limits,
    /// All headers on every response, but the wait exactly, in `x-ratelimit-reset` alone.
    Exact,
    /// All headers on every response, with the limit per minute, which other servers mean by the same header.
    PerMinute,
    /// The wait, on 429s only.
    Wait,
    Nothing,
}

/// A tenant with the same key, which takes 40 % of the limit for a while, and is served first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tenant {
    None,
    /// The server reports the limit without the tenant's part.
    Told,
    /// The server reports the whole limit.
    Untold,
}

pub struct Server {
    rules: Rules,
    limit: Limit,
    counter: Counter,
    /// The instant of the tenant's next request.
    tenant: Duration,
}

/// The server's decision about a request that arrives.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// The time until there is room, if the request is rejected.
    pub wait: Option<Duration>,
    /// The limit, per second.
    pub limit: f64,
    pub remaining: u32,
    pub reset: Duration,
}

impl Server {
    pub fn new(rules: Rules, random: &mut fastrand::Rng) -> Self {
        let mut limit = Limit::new(rules.moves);
        let first = limit.at(Duration::ZERO);
        Self {
            rules,
            limit,
            counter: Counter::new(rules.kind, first, random),
            tenant: TAKES.start,
        }
    }

    pub fn arrival(&mut self, now: Duration) -> Verdict {
        self.let_tenant_take(now);
        let limit = self.limit.at(now);
        self.counter.pass(now, limit);
        let wait = self.counter.wait(now, limit);
        let accepted = wait.is_zero();
        if accepted {
            self.limit.accepted(now);
        }
        if accepted || self.rules.counts_rejected {
            self.counter.take(now);
        }
        let told = match self.rules.tenant {
            Tenant::Told => self.left(now),
            _ => limit,
        };
        Verdict {
            wait: (!accepted).then_some(wait),
            limit: told,
            remaining: self.counter.left(limit),
            reset: self.counter.reset(now, limit),
        }
    }

    /// The limit without the tenant's part, per second.
    pub fn left(&mut self, now: Duration) -> f64 {
        let limit = self.limit.at(now);
        match self.rules.tenant {
            Tenant::None => limit,
            _ if TAKES.contains(&now) => limit * (1.0 - SHARE),
            _ => limit,
        }
    }

    fn let_tenant_take(&mut self, now: Duration) {
        while self.rules.tenant != Tenant::None && self.tenant <= now.min(TAKES.end) {
            let limit = self.limit.at(self.tenant);
            self.counter.pass(self.tenant, limit);
            self.counter.take(self.tenant);
            self.tenant += Duration::from_secs_f64(1.0 / (SHARE * limit));
        }
    }
}

/// The time that an ideal client takes, which sends each request at the very instant there is room for it, until the
/// limit is `until` per second.
pub fn oracle(moves: Moves, until: f64) -> Duration {
    let (mut limit, mut now) = (Limit::new(moves), Duration::ZERO);
    let mut counter = Counter::new(Kind::Bucket, limit.at(now), &mut fastrand::Rng::new());
    loop {
        let per_second = limit.at(now);
        if per_second >= until {
            return now;
        }
        counter.pass(now, per_second);
        let wait = counter.wait(now, per_second);
        if wait.is_zero() {
            limit.accepted(now);
            counter.take(now);
        }
        now += wait;
    }
}

const TAKES: Range<Duration> = Duration::from_secs(200)..Duration::from_secs(400);
const SHARE: f64 = 0.4;
