//! The shared parts of a key and of its limits.

use crate::{
    limiter::LimitIndex,
    quota::shared::{Ledger, Name, Offset, Stamp},
    words::{Digest, Instant, Rule, Span, Weight},
};

/// The shared part of a key.
#[derive(Debug)]
pub(in crate::limiter) struct KeyShare {
    pub(super) digest: Digest,
    /// Whether its lanes learn their paces.
    pub(super) is_adaptive: bool,
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
    pub(in crate::limiter) fn new(digest: Digest, is_adaptive: bool) -> Self {
        Self {
            digest,
            is_adaptive,
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
        Self::of(&about)
    }

    pub(super) fn of(about: &str) -> Self {
        Self {
            name: name(about),
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
        let more = more(charged, cost);
        self.owed = self.owed.saturating_add(more).clamp(-MOST_OWED, MOST_OWED);
    }
}

/// The amount by which `to` exceeds `from`.
pub(super) fn more(from: Weight, to: Weight) -> i64 {
    let signed = |Weight(tokens)| i64::try_from(tokens).unwrap_or(i64::MAX);
    signed(to).saturating_sub(signed(from))
}

/// The name of a limit or a lane, the same in every process and in every version of this crate.
pub(super) fn name(about: &str) -> Name {
    let digest = crate::words::sha256(&[about.as_bytes()]);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    Name(u64::from_be_bytes(first))
}

/// Keeps all sums far below the 53 bits of a number in the script.
pub(super) const MOST_OWED: i64 = 1 << 40;
