//! One API key: its limits, its lanes, and the turns of the lanes.

mod change;
mod constraint;
mod cost;
mod lanes;
mod listed;
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
pub(super) use self::{listed::Listed, pump::World};
use super::{LaneIndex, LimitIndex, RuleIndex, lane::Lane, share::KeyShare};
use crate::{
    quota::Bucket,
    words::{Call, Instant, KeyId},
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
    /// The instants from which on it may be forgotten.
    pub(super) listed: Listed,
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
            listed: Listed::NEVER,
        }
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
