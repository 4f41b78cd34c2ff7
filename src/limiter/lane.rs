//! A lane: the requests of one key to one endpoint with one model, first come, first served.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;

use super::{line::Line, output::Output};
use crate::{
    quota::{Gate, Rate},
    words::{Cap, Endpoint, Rule},
};

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
    /// The pace it learns; made when somebody waits, or the server says something of it.
    pub(super) rate: Option<Box<Rate>>,
    /// Those who wait; made when somebody does.
    pub(super) line: Option<Box<Line>>,
    /// How long its answers are.
    pub(super) output: Output,
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

    /// Until when it is kept back by a pause, by the slow restart after one, or by the pace that it
    /// learned, with so many before it.
    pub(super) fn held(&self, ahead: u64, now: u64) -> Option<u64> {
        let gate = self.gate.as_ref().map_or(0, |gate| gate.next());
        let rate = self.rate.as_ref().map_or(0, |rate| rate.next(ahead));
        Some(gate.max(rate)).filter(|at| *at > now)
    }

    /// Whether a line of the table is left out, since the lane knows better: a number of requests that
    /// this crate supplied.
    pub(super) fn outgrew(&self, rule: &Rule) -> bool {
        let leads = self.rate.as_ref().is_some_and(|rate| rate.leads());
        leads && !rule.ceiling && matches!(rule.cap, Cap::Requests(_))
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
