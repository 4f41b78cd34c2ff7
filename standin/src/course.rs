//! How a limit moves: not at all, by a plan, or with its caller's success.

use crate::pace::{Pace, Rule};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    Steady,
    Planned(Plan),
    Dynamic(Dynamic),
}

/// Numbers to come, with the times since the server's start from which they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    steps: Vec<(u64, u32)>,
    /// After what time it all begins again.
    every: Option<u64>,
}

/// Twice the rate of the past hour's successes, within bounds, which are per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dynamic {
    pub(crate) floor: u32,
    pub(crate) cap: u32,
}

impl Plan {
    /// Adds a step, if it comes after those there are.
    pub(crate) fn push(&mut self, after: u64, max: u32) -> bool {
        let fits = self.end() < after && self.every.is_none();
        self.steps.push((after, max));
        fits
    }

    /// Begins again after a time, if that is after the last step.
    pub(crate) fn repeat(&mut self, every: u64) -> bool {
        self.every = Some(every);
        self.end() < every
    }

    fn end(&self) -> u64 {
        self.steps.last().map_or(0, |(after, _)| *after)
    }

    /// The number that holds at a time, in place of the `first`; and when it changes.
    pub(crate) fn at(&self, first: u32, now: u64) -> (u32, Option<u64>) {
        let round = self.every.map_or(0, |every| now - now % every);
        let next = self
            .steps
            .partition_point(|(after, _)| *after <= now - round);
        let max = next.checked_sub(1).map_or(first, |last| self.steps[last].1);
        let until = self.steps.get(next).map(|(after, _)| *after).or(self.every);
        (max, until.map(|until| round + until))
    }

    /// The largest number after the first.
    pub(crate) fn most(&self) -> u32 {
        self.steps.iter().map(|(_, max)| *max).max().unwrap_or(0)
    }
}

impl Dynamic {
    /// The pace after `successes` in the past hour: twice their number an hour, which is whole.
    pub(crate) fn pace(self, successes: usize) -> Pace {
        let twice = 2 * successes as u64;
        let max = twice.clamp(60 * u64::from(self.floor), 60 * u64::from(self.cap));
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        // One second's worth.
        let burst = (max / 3_600).max(1);
        Pace {
            rule: Rule::Gcra { burst },
            max,
            per: HOUR,
        }
    }
}

/// In microseconds.
pub(crate) const HOUR: u64 = 3_600_000_000;
