//! Windows, one after the other.

use super::correction::Correction;
use crate::pace::Pace;

/// The quota used in the latest window.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    phase: u64,
    number: u64,
    taken: u64,
}

impl Window {
    pub(super) fn new(phase: u64) -> Self {
        Self {
            phase,
            number: 0,
            taken: 0,
        }
    }

    pub(super) fn settle(&mut self, pace: Pace, now: u64) {
        let current = self.number(pace, now);
        if self.number != current {
            (self.number, self.taken) = (current, 0);
        }
    }

    pub(super) fn take(&mut self, cost: u64) {
        self.taken = self.taken.saturating_add(cost);
    }

    /// If it is of this window; one that is over is over.
    pub(super) fn correct(&mut self, pace: Pace, correction: Correction) {
        if self.number == self.number(pace, correction.at) {
            self.taken = correction.of(self.taken);
        }
    }

    pub(super) fn remaining(&self, pace: Pace) -> u64 {
        u64::from(pace.max).saturating_sub(self.taken)
    }

    pub(super) fn wait(&self, pace: Pace, cost: u64, now: u64) -> u64 {
        if self.taken <= u64::from(pace.max).saturating_sub(cost) {
            return 0;
        }
        // Until the next one begins; the first began before 0, so numbers are one ahead.
        self.number * pace.per + self.phase - now
    }

    /// The number of the window at a time. One began before 0, since a phase is shorter than it.
    fn number(&self, pace: Pace, now: u64) -> u64 {
        (now + pace.per - self.phase) / pace.per
    }
}
