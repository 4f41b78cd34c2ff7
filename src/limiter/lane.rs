//! A lane: the requests of one key to one endpoint with one model, first come, first served.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;

use super::line::Line;
use crate::{quota::Gate, words::Endpoint};

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) endpoint: Endpoint,
    /// The model's hash; 0 for none, [`OVERFLOW`] for all that have no lane of their own.
    pub(super) model_id: u64,
    pub(super) model: Option<Arc<str>>,
    /// Its limits, as places in its key's list.
    pub(super) limits: SmallVec<[u16; 4]>,
    /// The rules whose slots its requests take, 0 for none.
    pub(super) slots: [u32; 2],
    /// What the server asked for; made when it refuses for the first time.
    pub(super) gate: Option<Box<Gate>>,
    /// Those who wait; made when somebody does.
    pub(super) line: Option<Box<Line>>,
    /// How many wait, in line or not.
    pub(super) waiting: u32,
    pub(super) counts: Counts,
    /// How long those let go had waited, all together. Nanoseconds would not do: of many who wait
    /// each second adds as many.
    pub(super) waited: Duration,
}

/// What became of the requests so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) admitted: u64,
    pub(super) refused: u64,
    pub(super) throttled: u64,
}

impl Lane {
    pub(super) fn line(&mut self) -> &mut Line {
        self.line.get_or_insert_default()
    }

    pub(super) fn gate(&mut self) -> &mut Gate {
        self.gate.get_or_insert_default()
    }

    /// Until when the server asked it to wait.
    pub(super) fn pause(&self, now: u64) -> Option<u64> {
        let gate = self.gate.as_ref()?;
        Some(gate.until()).filter(|at| *at > now)
    }

    /// Until when it is kept back by a pause, or by the slow restart after one.
    pub(super) fn paused(&self, now: u64) -> Option<u64> {
        let gate = self.gate.as_ref()?;
        Some(gate.next()).filter(|at| *at > now)
    }

    /// Gives an empty line's memory back.
    pub(super) fn tidy(&mut self) {
        if self.line.as_ref().is_some_and(|line| line.is_empty()) {
            self.line = None;
        }
    }
}

/// The model of the lane that a key's later models share.
pub(super) const OVERFLOW: u64 = u64::MAX;
