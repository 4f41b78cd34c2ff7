//! The state of one limit for one caller.
//!
//! All times are microseconds, all arithmetic is in whole numbers: a verdict must not hang on a
//! rounding.

mod bucket;
mod correction;
mod log;
mod window;

use self::{bucket::Bucket, log::Log, window::Window};
use crate::pace::{Pace, Rule};

pub(super) use self::correction::Correction;

/// The memory of one limit for one key and model.
#[derive(Clone, Debug)]
pub(super) enum Meter {
    Fixed(Window),
    Sliding(Log),
    Gcra(Bucket),
}

impl Meter {
    pub(super) fn new(pace: Pace) -> Self {
        match pace.rule {
            Rule::Fixed { phase } => Self::Fixed(Window::new(phase)),
            Rule::Sliding => Self::Sliding(Log::default()),
            Rule::Gcra { .. } => Self::Gcra(Bucket::default()),
        }
    }

    /// Forgets what no longer matters at `now`. The methods below want this done first.
    pub(super) fn settle(&mut self, pace: Pace, now: u64) {
        match self {
            Self::Fixed(window) => window.settle(pace, now),
            Self::Sliding(log) => log.settle(pace, now),
            Self::Gcra(bucket) => bucket.settle(pace, now),
        }
    }

    /// Goes over from one pace to the next.
    pub(super) fn change(&mut self, from: Pace, to: Pace) {
        match self {
            // They count what there was, whatever may be.
            Self::Fixed(_) | Self::Sliding(_) => {}
            Self::Gcra(bucket) => bucket.change(from, to),
        }
    }

    /// Takes what was granted.
    pub(super) fn take(&mut self, pace: Pace, cost: u64, now: u64) {
        match self {
            Self::Fixed(window) => window.take(cost),
            Self::Sliding(log) => log.take(cost, now),
            Self::Gcra(bucket) => bucket.take(pace, cost),
        }
    }

    /// Takes what was rejected, where that counts as well. `most` is the largest number that the
    /// pace can have.
    pub(super) fn take_rejected(&mut self, pace: Pace, most: u32, cost: u64, now: u64) {
        match self {
            Self::Fixed(window) => window.take(cost),
            Self::Sliding(log) => {
                log.take(cost, now);
                log.forget_beyond(most);
            }
            Self::Gcra(bucket) => bucket.take_rejected(pace, cost),
        }
    }

    pub(super) fn correct(&mut self, pace: Pace, correction: Correction) {
        match self {
            Self::Fixed(window) => window.correct(pace, correction),
            Self::Sliding(log) => log.correct(correction),
            Self::Gcra(bucket) => bucket.correct(pace, correction),
        }
    }

    /// How much would pass at once.
    pub(super) fn remaining(&self, pace: Pace) -> u64 {
        match self {
            Self::Fixed(window) => window.remaining(pace),
            Self::Sliding(log) => log.remaining(pace),
            Self::Gcra(bucket) => bucket.remaining(pace),
        }
    }

    /// How long until this much passes; 0 if it would now. What is more than fits at all passes
    /// where nothing is taken.
    pub(super) fn wait(&self, pace: Pace, cost: u64, now: u64) -> u64 {
        match self {
            Self::Fixed(window) => window.wait(pace, cost, now),
            Self::Sliding(log) => log.wait(pace, cost, now),
            Self::Gcra(bucket) => bucket.wait(pace, cost),
        }
    }
}
