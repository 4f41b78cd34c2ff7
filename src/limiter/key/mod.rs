//! One API key: its limits, its lanes, and the turns of the lanes.

mod change;
mod constraint;
mod cost;
mod lanes;
mod places;
mod pump;
mod shares;
mod slots;
#[cfg(test)]
mod tests;
mod waiters;

use std::sync::Arc;

use smallvec::SmallVec;

use self::places::Places;
pub(super) use self::pump::World;
use super::{
    LaneIndex, LimitIndex, RuleIndex, lane::Lane, learned::Learned, rules::Rules, share::KeyShare,
};
use crate::{
    quota::Bucket,
    words::{Call, Instant, KeyId, Unit},
};

#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: KeyId,
    /// Its number among all keys ever made.
    pub(super) born: u64,
    pub(super) name: Option<Arc<str>>,
    // Inline for most keys, so that one of many thousands costs few cache misses.
    pub(super) limits: SmallVec<[Limit; 2]>,
    pub(super) lanes: SmallVec<[Lane; 1]>,
    /// The lanes that have a request to send. The lane whose last departure was the earliest comes first.
    turns: Vec<LaneIndex>,
    /// The number of waiting requests, in the queue or skipped.
    pub(super) waiting: u32,
    /// The instant at which it is due for another look.
    pub(super) due: Instant,
    /// The places of the lanes in `turns` in their limits, from the last pass.
    places: Option<Box<Places>>,
    /// The part that processes share.
    pub(super) share: Option<Box<KeyShare>>,
}

finds!(LimitIndex in SmallVec<[Limit; 2]>, Limit);

/// The state of one limit.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) rule: RuleIndex,
    pub(super) bucket: Bucket,
}

/// The earliest instant at which the limits of a request allow it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Earliest {
    /// The request may not be sent before this instant.
    pub(super) at: Instant,
    /// The request may not be sent before a slot comes free either. Ask again at this instant at the latest.
    pub(super) full: Option<Instant>,
    /// The limit that delays the request longest. A pause is not a limit, since it is the lane's own.
    binding: Option<LimitIndex>,
}

impl Earliest {
    pub(super) fn is_now(&self, now: Instant) -> bool {
        self.at <= now && self.full.is_none()
    }
}

impl Key {
    pub(super) fn new(call: &Call, born: u64) -> Self {
        Self {
            id: call.key,
            born,
            name: call.key_name.clone(),
            limits: SmallVec::new(),
            lanes: SmallVec::new(),
            turns: Vec::new(),
            waiting: 0,
            due: Instant::NEVER,
            places: None,
            share: None,
        }
    }

    /// The instant from which on the key is no different from a new one; `None` while it is in use.
    pub(super) fn fresh_at(&self, rules: &Rules) -> Option<Instant> {
        let learned = self.learned().map(|learned| learned.fresh_at()).max();
        Some(self.unused_at(rules)?.max(learned.unwrap_or_default()))
    }

    /// The instant from which on the key differs from a new one only in what it has learned; `None` while it
    /// is in use.
    pub(super) fn unused_at(&self, rules: &Rules) -> Option<Instant> {
        if self.waiting > 0 {
            return None;
        }
        let gates = self.lanes.iter().filter_map(|lane| lane.gate.as_ref());
        let paused = gates.map(|gate| gate.fresh_at()).max().unwrap_or_default();
        self.limits.iter().try_fold(paused, |latest, limit| {
            let at = limit.bucket.fresh_at(rules.cap(limit.rule))?;
            Some(at.max(latest))
        })
    }

    /// The instant at which the key last learned something.
    pub(super) fn learned_last(&self) -> Instant {
        self.learned()
            .map(|learned| learned.last())
            .max()
            .unwrap_or_default()
    }

    fn learned(&self) -> impl Iterator<Item = &Learned> {
        let lanes = self.lanes.iter();
        lanes.flat_map(|lane| Unit::BOTH.map(|unit| &lane.learned[unit]))
    }

    /// Whether no request waits in any queue, so that one that comes may be sent at once.
    pub(super) fn is_quiet(&self) -> bool {
        self.turns.is_empty()
    }
}

impl Limit {
    fn new(rule: RuleIndex, bucket: Bucket) -> Self {
        Self { rule, bucket }
    }
}
