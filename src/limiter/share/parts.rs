//! The shared parts of a key, of its lanes, and of its limits.

use crate::{
    limiter::LimitIndex,
    quota::shared::{Lease, Ledger, Name, Offset, Stamp},
    words::{Digest, Endpoint, Instant, Rule, Span, Weight},
};

/// The shared part of a key.
#[derive(Debug)]
pub(in crate::limiter) struct KeyShare {
    pub(super) digest: Digest,
    pub(super) clock: Offset,
    /// The number of processes that share the key, as the ledger said last.
    pub(in crate::limiter) processes: u64,
    /// The instant since which a call is under way.
    pub(super) asked: Option<Instant>,
    /// The instant of the last call.
    pub(super) last_call: Instant,
    /// The instant at which the calls so far are paid for: 20 a second.
    pub(super) calls_due: Instant,
    /// Whether the ledger knows this process.
    pub(super) is_known: bool,
    /// The mean time of a call, and its mean deviation.
    pub(super) time: (Span, Span),
    /// The key's own part of the limits, while the ledger does not reply.
    pub(super) alone: Option<Ledger>,
    /// The shared parts of its limits, by their places in the key's list.
    limits: Vec<Option<LimitShare>>,
}

impl KeyShare {
    pub(in crate::limiter) fn new(digest: Digest) -> Self {
        Self {
            digest,
            clock: Offset::default(),
            processes: 0,
            asked: None,
            last_call: Instant::START,
            calls_due: Instant::START,
            is_known: false,
            time: (Span::millis(2), Span::millis(1)),
            alone: None,
            limits: Vec::new(),
        }
    }

    /// Makes the shared part of a limit, if there is none.
    pub(super) fn share_limit(&mut self, index: LimitIndex, rule: &Rule) {
        let place = usize::from(index);
        if self.limits.len() <= place {
            self.limits.resize_with(place + 1, || None);
        }
        self.limits[place].get_or_insert_with(|| LimitShare::new(rule));
    }

    /// The shared part of a limit.
    pub(super) fn limit(&mut self, index: LimitIndex) -> Option<&mut LimitShare> {
        self.limits.get_mut(usize::from(index))?.as_mut()
    }

    pub(super) fn limit_ref(&self, index: LimitIndex) -> Option<&LimitShare> {
        self.limits.get(usize::from(index))?.as_ref()
    }

    /// Forgets the limits, whose places have changed.
    pub(super) fn forget_limits(&mut self) {
        self.limits.clear();
    }

    /// A departed request has cost more than was charged for it, or less.
    pub(in crate::limiter) fn owes(&mut self, index: LimitIndex, charged: Weight, cost: Weight) {
        if let Some(limit) = self.limit(index) {
            limit.owes(charged, cost);
        }
    }

    /// The time before the end of a lease at which the next one is asked for.
    pub(super) fn lead(&self) -> Span {
        let (mean, deviation) = self.time;
        mean + deviation * 4 + Span::millis(2)
    }

    /// A call has taken `time`.
    pub(super) fn took(&mut self, time: Span) {
        let (mean, deviation) = self.time;
        let off = if time > mean {
            time - mean
        } else {
            mean - time
        };
        self.time = (
            ((mean * 7 + time) / 8).min(Span::millis(50)),
            ((deviation * 3 + off) / 4).min(Span::millis(10)),
        );
    }
}

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
    /// Rejections that the ledger has not heard of.
    pub(super) rejections: Option<Rejections>,
}

/// Rejections of requests that were sent before this call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rejections {
    /// The start of the newest pause that was known when the last of them was charged.
    pub(super) since: Stamp,
    pub(super) until: Instant,
}

/// The shared part of a limit.
#[derive(Debug)]
pub(super) struct LimitShare {
    pub(super) name: Name,
    /// The latest instant that the ledger has named.
    pub(super) heard: Stamp,
    /// The cost of departed requests beyond what was charged for them.
    pub(super) owed: i64,
    /// The last departure.
    pub(super) departed: Instant,
    /// The time between departures while the key was last on its own.
    pub(super) alone_apart: Span,
}

impl LaneShare {
    pub(in crate::limiter) fn new(endpoint: Endpoint, model: Option<&str>) -> Self {
        Self {
            name: name(&format!("lane {} {}", endpoint.name(), model.unwrap_or(""))),
            lease: Lease::default(),
            returns: None,
            since: Stamp(0),
            departed: 0,
            departed_at: Instant::START,
            asked_at: Instant::START,
            tried: false,
            rejections: None,
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

    /// A request departs at an instant of the lease. Returns the tokens that were charged for it.
    pub(in crate::limiter) fn depart(&mut self, now: Instant) -> Weight {
        self.departed += 1;
        self.departed_at = now;
        self.lease.take().unwrap_or(Weight(0))
    }

    /// The server has rejected a request. `is_news` tells whether it was sent after the newest pause began.
    pub(in crate::limiter) fn rejected(&mut self, is_news: bool, until: Instant) {
        self.reports(if is_news { self.since } else { Stamp(0) }, until);
    }

    /// The next call reports a pause.
    pub(super) fn reports(&mut self, since: Stamp, until: Instant) {
        let before = self.rejections.get_or_insert(Rejections { since, until });
        before.since = before.since.max(since);
        before.until = before.until.max(until);
    }
}

impl LimitShare {
    pub(in crate::limiter) fn new(rule: &Rule) -> Self {
        let endpoints: Vec<_> = rule
            .endpoints
            .iter()
            .map(|endpoint| endpoint.name())
            .collect();
        let model = rule.model.as_deref().unwrap_or("");
        let about = format!(
            "limit {:?} {} {model}",
            rule.cap.unit(),
            endpoints.join(",")
        );
        Self {
            name: name(&about),
            heard: Stamp(0),
            owed: 0,
            departed: Instant::START,
            alone_apart: Span::ZERO,
        }
    }

    /// The instant before which the key sends no other request on its own.
    pub(super) fn alone_until(&self) -> Option<Instant> {
        Some(self.departed + self.alone_apart).filter(|_| self.departed > Instant::START)
    }

    /// A request departs that costs `cost`, for which `charged` was charged.
    pub(in crate::limiter) fn depart(&mut self, charged: Weight, cost: Weight, now: Instant) {
        self.departed = now;
        self.owes(charged, cost);
    }

    /// A departed request has cost more than was charged for it, or less.
    pub(super) fn owes(&mut self, charged: Weight, cost: Weight) {
        let signed = |Weight(tokens)| i64::try_from(tokens).unwrap_or(i64::MAX);
        let more = signed(cost).saturating_sub(signed(charged));
        self.owed = self.owed.saturating_add(more).clamp(-MOST_OWED, MOST_OWED);
    }
}

/// The name of a limit or a lane, the same in every process and in every version of this crate.
fn name(about: &str) -> Name {
    let digest = crate::words::sha256(&[about.as_bytes()]);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    Name(u64::from_be_bytes(first))
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
/// Keeps all sums far below the 53 bits of a number in the script.
const MOST_OWED: i64 = 1 << 40;
