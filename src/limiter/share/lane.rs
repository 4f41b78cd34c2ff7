//! The shared part of a lane: its instants, its paces, and the statements of the server.

use super::parts::{LimitShare, MOST_OWED, more, name};
use crate::{
    quota::{
        News,
        shared::{Event, Lease, Name, Pace, Stamp, What},
    },
    words::{Each, Endpoint, Instant, Span, Unit, Weight},
};

/// The shared part of a lane.
#[derive(Debug)]
pub(in crate::limiter) struct LaneShare {
    pub(super) name: Name,
    pub(in crate::limiter) lease: Lease,
    /// The instant at which the ledger has told the lane to ask again, in nanoseconds of its clock.
    pub(super) returns: Option<u64>,
    /// The start of the newest pause that the ledger has named.
    pub(super) since: Stamp,
    /// The number of departures since the last call that asked for the lane, and the last of them.
    pub(super) departed: u64,
    departed_at: Instant,
    /// The instant of that call.
    asked_at: Instant,
    /// Whether a request was turned away, since there was no instant for it.
    pub(super) tried: bool,
    pub(super) slowest: Option<Unit>,
    /// Whether this process learns the lane's pace for all.
    pub(in crate::limiter) learns: bool,
    pub(super) paces: Each<PaceShare>,
    /// The departures that the ledger has not heard of, and their tokens.
    pub(super) unreported: (u64, i64),
    /// The departures of all processes, as the ledger said last.
    pub(super) departed_of_all: Option<Each<u64>>,
    /// Statements of the server that the ledger has not heard of.
    pub(super) events: Vec<Said>,
}

/// A statement of the server in a response to this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) what: What,
    pub(super) of: Unit,
    /// The start of the newest pause that was known when the request was charged.
    pub(super) since: Stamp,
    /// The end of the pause that it asks for.
    pub(super) until: Instant,
    /// The request's departure.
    pub(super) at: Instant,
    pub(super) amount: u64,
}

/// The pace of a lane that one process learns for all.
#[derive(Debug)]
pub(super) struct PaceShare {
    pub(super) limit: LimitShare,
    pub(super) known: Pace,
    /// The limit that the server named last, as it was told to the ledger, and the instant.
    named: (u64, Instant),
}

impl LaneShare {
    pub(in crate::limiter) fn new(endpoint: Endpoint, model: Option<&str>) -> Self {
        let about = format!("lane {} {}", endpoint.name(), model.unwrap_or(""));
        let pace = |unit| PaceShare {
            limit: LimitShare::of(&format!("pace {unit:?} {about}")),
            known: Pace::default(),
            named: (0, Instant::START),
        };
        Self {
            name: name(&about),
            lease: Lease::default(),
            returns: None,
            since: Stamp(0),
            departed: 0,
            departed_at: Instant::START,
            asked_at: Instant::START,
            tried: false,
            slowest: None,
            learns: false,
            paces: Each {
                requests: pace(Unit::Requests),
                tokens: pace(Unit::Tokens),
            },
            unreported: (0, 0),
            departed_of_all: None,
            events: Vec::new(),
        }
    }

    /// Gives up all instants, since the limits have changed.
    pub(super) fn start_again(&mut self) {
        self.lease.clear();
        self.returns = None;
    }

    /// The number of requests that will need an instant until the next call but one has a reply, as far as the
    /// last departures tell.
    pub(super) fn soon(&self, lead: Span, now: Instant) -> u64 {
        self.soon_of(self.departed, lead, now)
    }

    /// The number of requests that will need an instant, if so many have departed.
    fn soon_of(&self, departed: u64, lead: Span, now: Instant) -> u64 {
        if now - self.departed_at >= RECENT {
            return 0;
        }
        let time = (now - self.asked_at).as_nanos().max(LEAST_TIME.as_nanos());
        let ahead = u128::from((CYCLE + lead).as_nanos());
        u64::try_from(u128::from(departed) * ahead / u128::from(time)).unwrap_or(u64::MAX)
    }

    /// The number of instants to ask for while `waiting` requests wait, the first of them since `since`.
    pub(super) fn want(
        &self,
        waiting: u64,
        since: Option<Instant>,
        lead: Span,
        now: Instant,
    ) -> u64 {
        // Twice as many as before if a request came as soon as the one before it had departed, so that a lane that
        // had few comes to have its share. The product is rounded down after that: rounded down before, one request
        // in two cycles would stay one.
        let hungry = since.is_some_and(|since| since <= self.departed_at + AT_ONCE);
        let departed = self.departed.saturating_mul(1 + u64::from(hungry));
        let wanted = waiting.saturating_add(self.soon_of(departed, lead, now));
        wanted
            .saturating_sub(self.lease.left())
            .clamp(1, MOST_WANTED)
    }

    /// A call asks for the lane.
    pub(super) fn asks(&mut self, now: Instant) {
        (self.departed, self.asked_at, self.tried) = (0, now, false);
    }

    /// The instants that are left.
    pub(in crate::limiter) fn granted(&self) -> u64 {
        self.lease.left()
    }

    /// The instants that passed before a request could use them.
    pub(in crate::limiter) fn lapsed(&self) -> u64 {
        self.lease.lapsed()
    }

    /// A request is turned away, since there is no instant for it.
    pub(in crate::limiter) fn turn_away(&mut self) {
        self.tried = true;
    }

    /// A request of `tokens` departs at an instant of the lease. Returns the tokens that were charged for it.
    pub(in crate::limiter) fn depart(&mut self, tokens: Weight, now: Instant) -> Weight {
        self.departed += 1;
        self.departed_at = now;
        self.unreported.0 += 1;
        self.cost(Weight(0), tokens);
        self.lease.take().unwrap_or(Weight(0))
    }

    /// The cost of departed requests is `to` tokens, and not `from`.
    fn cost(&mut self, from: Weight, to: Weight) {
        let tokens = &mut self.unreported.1;
        *tokens = (*tokens + more(from, to)).clamp(-MOST_OWED, MOST_OWED);
    }

    /// A departed request has cost more than was charged for it, or less.
    pub(in crate::limiter) fn owes(&mut self, charged: Weight, cost: Weight) {
        self.owes_pace(Unit::Tokens, charged, cost);
        self.cost(charged, cost);
    }

    /// The same, of one of its paces. One that does not apply is owed nothing.
    pub(super) fn owes_pace(&mut self, unit: Unit, charged: Weight, cost: Weight) {
        let pace = &mut self.paces[unit];
        if pace.known.apart > 0 {
            pace.limit.owes(charged, cost);
        }
    }

    /// The table is another. The paces of the other processes still hold: the next reply names them again.
    pub(super) fn forget_paces(&mut self) {
        self.learns = false;
        for unit in Unit::BOTH {
            self.paces[unit].known = Pace::default();
        }
    }

    /// A request has departed at an instant for which `charged` tokens were charged, under the learned pace of
    /// `unit`.
    pub(super) fn depart_paced(
        &mut self,
        unit: Unit,
        charged: Weight,
        tokens: Weight,
        now: Instant,
    ) {
        let (charged, tokens) = (unit.weight(charged), unit.weight(tokens));
        self.paces[unit].limit.depart(charged, tokens, now);
    }

    /// The server has rejected a request that departed at `at`, or is overloaded.
    pub(in crate::limiter) fn rejected(
        &mut self,
        rejected: Option<(News, Unit, Weight)>,
        at: Instant,
        until: Instant,
    ) {
        let (what, of, weight) = match rejected {
            Some((news, of, weight)) => (What::Rejected(news), of, weight),
            None => (What::Overloaded, Unit::Requests, Weight(0)),
        };
        let is_news = matches!(what, What::Rejected(News::TooSoon | News::TooFast));
        self.says(Said {
            what,
            of,
            since: if is_news { self.since } else { Stamp(0) },
            until,
            at,
            amount: weight.0.min(MOST_AMOUNT),
        });
    }

    /// The server has named its limit, in the response to a request that departed at `at`. It is told again
    /// once it is another, or some seconds old.
    pub(in crate::limiter) fn named(&mut self, of: Unit, limit: f64, at: Instant, now: Instant) {
        let amount = ((limit * MILLION) as u64).min(MOST_AMOUNT);
        let (before, told) = &mut self.paces[of].named;
        if amount == 0 || *before == amount && now - *told < NAMED_AGAIN {
            return;
        }
        (*before, *told) = (amount, now);
        self.says(Said {
            what: What::Named,
            of,
            since: Stamp(0),
            until: now,
            at,
            amount,
        });
    }

    /// The next call reports it. If there is much to report, the oldest are left out, and only the longest pause
    /// counts.
    pub(super) fn says(&mut self, mut said: Said) {
        if self.events.len() == MOST_SAID {
            let oldest = self.events.remove(0);
            said.until = said.until.max(oldest.until);
        }
        self.events.push(said);
    }

    /// The unit of the limit that its instants were apart for.
    pub(in crate::limiter) fn slowest(&self) -> Option<Unit> {
        self.slowest
    }

    /// Whether the server has asked for a pause that the ledger has not heard of.
    pub(super) fn has_news(&self) -> bool {
        self.events.iter().any(|said| said.what != What::Named)
    }
}

impl Said {
    /// The event on the ledger's clock.
    pub(super) fn event(self, stamp: impl Fn(Instant) -> Stamp, now: Instant) -> Event {
        Event {
            what: self.what,
            of: self.of,
            since: self.since,
            wait: self.until - now,
            at: stamp(self.at),
            amount: self.amount,
        }
    }
}

impl PaceShare {
    /// The time of a request of `weight`; `None` if the table leads.
    pub(super) fn time(&self, weight: Weight) -> Option<Span> {
        let Pace { apart, .. } = self.known;
        (apart > 0).then(|| Span::nanos((apart / 1_000).saturating_mul(weight.0)))
    }
}

/// Departures before this time are not used to predict the next ones.
const RECENT: Span = Span::millis(200);
/// A request that comes so soon after a departure would have come earlier.
const AT_ONCE: Span = Span::millis(10);
/// Departures are counted over this time at least.
const LEAST_TIME: Span = Span::millis(50);
/// The time for which a lease is to last.
pub(super) const CYCLE: Span = Span::millis(100);
const MOST_WANTED: u64 = 1 << 20;
/// The events that wait for the next call, at most. Calls are 100 ms apart.
const MOST_SAID: usize = 16;
/// A named limit counts for a minute. Each process names it again well before.
const NAMED_AGAIN: Span = Span::secs(10);
const MILLION: f64 = 1e6;
/// A thousand million a second, in millionths.
const MOST_AMOUNT: u64 = 1_000_000_000_000_000;
