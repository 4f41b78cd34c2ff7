//! A bucket that refills evenly.

use super::correction::Correction;
use crate::pace::{Pace, Rule};

/// The quota that a bucket is short of at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bucket {
    at: u64,
    /// The time its refilling takes, times the pace's `max`. So what a request is worth is a whole
    /// number, `per`, and stays the same when the pace changes. If it is more than the burst is
    /// worth, the bucket is in debt.
    missing: u128,
}

impl Bucket {
    pub(super) fn settle(&mut self, pace: Pace, now: u64) {
        let refilled = u128::from(now - self.at) * u128::from(pace.max);
        self.missing = self.missing.saturating_sub(refilled);
        self.at = now;
    }

    /// Keeps its contents, up to the new burst.
    pub(super) fn change(&mut self, from: Pace, to: Pace) {
        self.missing = (self.missing + burst(to)).saturating_sub(burst(from));
    }

    pub(super) fn take(&mut self, pace: Pace, cost: u64) {
        self.missing += worth(pace, cost);
    }

    /// Rejections, however many, make it no emptier than empty.
    pub(super) fn take_rejected(&mut self, pace: Pace, cost: u64) {
        let taken = self.missing + worth(pace, cost);
        self.missing = taken.min(burst(pace)).max(self.missing);
    }

    pub(super) fn correct(&mut self, pace: Pace, correction: Correction) {
        let taken = self.missing + worth(pace, correction.used);
        self.missing = taken.saturating_sub(worth(pace, correction.charged));
    }

    pub(super) fn remaining(&self, pace: Pace) -> u64 {
        (burst(pace).saturating_sub(self.missing) / worth(pace, 1)) as u64
    }

    pub(super) fn wait(&self, pace: Pace, cost: u64) -> u64 {
        let room = burst(pace).saturating_sub(worth(pace, cost));
        let surplus = self.missing.saturating_sub(room);
        surplus.div_ceil(u128::from(pace.max)) as u64
    }
}

fn worth(pace: Pace, cost: u64) -> u128 {
    u128::from(cost) * u128::from(pace.per)
}

/// The worth of a full bucket.
fn burst(pace: Pace) -> u128 {
    match pace.rule {
        Rule::Gcra { burst } => worth(pace, burst.into()),
        Rule::Fixed { .. } | Rule::Sliding => 0,
    }
}
