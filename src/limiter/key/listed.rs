//! The instants from which on a key may be forgotten.

use super::Key;
use crate::{
    limiter::{learned::Learned, rules::Rules},
    words::{Instant, Unit},
};

/// The instants from which on a key may be forgotten, as it was when it was listed. Never before the real ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::limiter) struct Listed {
    /// The instant from which on it is no different from a new one; `NEVER` while it is in use.
    pub(in crate::limiter) fresh: Instant,
    /// The instant since which it differs from a new one only in what it has learned; `NEVER` while it is in use, or
    /// if it has learned nothing.
    pub(in crate::limiter) idle: Instant,
}

impl Listed {
    /// The instants of a key that is in use, or new.
    pub(in crate::limiter) const NEVER: Self = Self {
        fresh: Instant::NEVER,
        idle: Instant::NEVER,
    };
}

impl Key {
    /// The instants from which on the key may be forgotten, as it is now.
    pub(in crate::limiter) fn listed_now(&self, rules: &Rules) -> Listed {
        let Some(unused) = self.unused_at(rules) else {
            return Listed::NEVER;
        };
        let learned = self.learned().map(Learned::fresh_at).max();
        let fresh = unused.max(learned.unwrap_or_default());
        let last = self.learned().map(Learned::last).max();
        let idle = match fresh > unused {
            true => unused.max(last.unwrap_or_default()),
            false => Instant::NEVER,
        };
        Listed { fresh, idle }
    }

    /// The instant from which on the key differs from a new one only in what it has learned; `None` while it
    /// is in use.
    pub(in crate::limiter) fn unused_at(&self, rules: &Rules) -> Option<Instant> {
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

    fn learned(&self) -> impl Iterator<Item = &Learned> {
        let lanes = self.lanes.iter();
        lanes.flat_map(|lane| Unit::BOTH.map(|unit| &lane.learned[unit]))
    }
}
