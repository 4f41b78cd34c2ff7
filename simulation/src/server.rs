//! A server whose limit moves. Pure: the time is an argument.

use std::{ops::Range, time::Duration};

use crate::{
    counter::{Counter, Kind},
    limit::{Limit, Moves},
};

/// What a server does.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub kind: Kind,
    pub moves: Moves,
    /// Whether a call that is refused counts too.
    pub counts_refused: bool,
    pub tenant: Tenant,
}

/// What a server says of its limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Says {
    /// All of it, on every answer; how long to wait in whole seconds, as Together was seen to.
    Limits,
    /// The same, but how long to wait as exactly as it is known, in `x-ratelimit-reset` alone.
    Exact,
    /// How long to wait, on 429s.
    Wait,
    Nothing,
}

/// Someone else with the same key, who takes 40 % of the limit for a while, and is served first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tenant {
    None,
    /// The limit that the server tells is what is left.
    Told,
    /// The limit that it tells is the whole.
    Untold,
}

pub struct Server {
    rules: Rules,
    limit: Limit,
    counter: Counter,
    /// When the tenant takes the next.
    tenant: Duration,
}

/// What the server thinks of one that arrives.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// If it is refused, when there is room.
    pub wait: Option<Duration>,
    /// Per second.
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
        if accepted || self.rules.counts_refused {
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

    /// What it would allow those who are not the tenant, per second.
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

/// How long it takes one who sends each request in the very instant there is room for it, until the
/// limit is so much per second.
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
