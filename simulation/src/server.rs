//! A server whose limit moves. Pure: the time is an argument.

use std::time::Duration;

pub use crate::rules::{Fails, Rules, Says, Shares, Tenant, Tokens};
use crate::{
    counter::{Counter, Kind},
    limit::{Limit, Moves},
};

pub struct Server {
    rules: Rules,
    limit: Limit,
    requests: Counter,
    tokens: Option<(f64, Counter)>,
    /// The instant of the tenant's next request.
    tenant: Duration,
}

/// The server's decision about a request that arrives.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// The time until there is room, if the request is rejected.
    pub wait: Option<Duration>,
    /// Whether tokens are lacking.
    pub by_tokens: bool,
    /// The limit, per second.
    pub limit: f64,
    pub remaining: u32,
    pub reset: Duration,
    /// The limit of tokens, per second, and the remaining ones.
    pub tokens: Option<(f64, u32)>,
}

impl Server {
    pub fn new(rules: Rules, random: &mut fastrand::Rng) -> Self {
        let mut limit = Limit::new(rules.moves);
        let first = limit.at(Duration::ZERO);
        Self {
            rules,
            limit,
            requests: Counter::new(rules.kind, first, random),
            tokens: rules.tokens.map(|per_minute| {
                let limit = per_minute / 60.0;
                (limit, Counter::new(rules.kind, limit, random))
            }),
            tenant: Duration::ZERO,
        }
    }

    pub fn arrival(&mut self, now: Duration, tokens: Tokens) -> Verdict {
        let wait = self.wait(now);
        let limit = self.limit.at(now);
        let accepted = wait.is_zero();
        if accepted {
            self.limit.accepted(now);
        }
        if accepted || self.rules.counts_rejected {
            self.requests.take(now, 1.0);
        }
        if accepted {
            self.count_tokens(now, tokens.prompt);
        }
        let told = match self.rules.tenant {
            Tenant::Told(_) => self.left(now),
            _ => limit,
        };
        let lacking = self.requests.wait(now, limit).is_zero() && self.tokens.is_some();
        Verdict {
            wait: (!accepted).then_some(wait),
            by_tokens: !accepted && lacking && !self.is_out(now),
            limit: told,
            remaining: self.requests.left(limit),
            reset: self.requests.reset(now, limit),
            tokens: self
                .tokens
                .as_ref()
                .map(|(limit, counter)| (*limit, counter.left(*limit))),
        }
    }

    /// Counts the tokens of a response that has been written.
    pub fn responded(&mut self, now: Duration, tokens: Tokens) {
        if let Some((limit, counter)) = &mut self.tokens {
            counter.pass(now, *limit);
        }
        self.count_tokens(now, tokens.output);
    }

    /// The time until there is room for a request; zero if there is room now.
    pub fn wait(&mut self, now: Duration) -> Duration {
        self.let_tenant_take(now);
        let limit = self.limit.at(now);
        self.requests.pass(now, limit);
        let requests = self.requests.wait(now, limit);
        let tokens = self.tokens.as_mut().map(|(limit, counter)| {
            counter.pass(now, *limit);
            counter.wait(now, *limit)
        });
        let out = self.rules.out.filter(|_| self.is_out(now));
        let out = out.map(|(_, end)| (Duration::from_secs(end) - now).min(LONGEST_WAIT));
        requests
            .max(tokens.unwrap_or_default())
            .max(out.unwrap_or_default())
    }

    pub fn fails(&self) -> Fails {
        self.rules.fails
    }

    /// The limit without the tenant's part, per second.
    pub fn left(&mut self, now: Duration) -> f64 {
        if self.is_out(now) {
            return 0.0;
        }
        self.limit.at(now) * (1.0 - self.rules.tenant.share(now))
    }

    fn count_tokens(&mut self, now: Duration, tokens: u32) {
        if let Some((_, counter)) = &mut self.tokens {
            counter.take(now, tokens.into());
        }
    }

    fn is_out(&self, now: Duration) -> bool {
        let within = |(from, until): (u64, u64)| (from..until).contains(&now.as_secs());
        self.rules.out.is_some_and(within)
    }

    fn let_tenant_take(&mut self, now: Duration) {
        while self.rules.tenant != Tenant::None && self.tenant <= now {
            let limit = self.limit.at(self.tenant);
            let share = self.rules.tenant.share(self.tenant);
            if share > 0.0 {
                self.requests.pass(self.tenant, limit);
                self.requests.take(self.tenant, 1.0);
                self.tenant += Duration::from_secs_f64(1.0 / (share * limit));
            } else {
                self.tenant += Duration::from_secs(1);
            }
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
            counter.take(now, 1.0);
        }
        now += wait;
    }
}

/// The longest wait that a server without quota says.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
