//! The alarm under the model checker. It goes off when the test says so.

use std::task::Waker;

use super::clock::Clock;
use crate::words::Instant;

#[derive(Debug, Default)]
pub(super) struct Alarms {
    waiting: usize,
    at: Option<Instant>,
}

pub(super) type Runtime = ();

pub(super) fn this_runtime() -> Runtime {}

impl Alarms {
    pub(super) fn enter(&mut self, _: Runtime, _: &Clock, _: impl FnOnce() -> Waker) {
        self.waiting += 1;
    }

    pub(super) fn leave(&mut self, _: Runtime) {
        self.waiting -= 1;
        if self.waiting == 0 {
            self.at = None;
        }
    }

    pub(super) fn set(&mut self, at: Instant, clock: &Clock) -> bool {
        if self.waiting > 0 {
            self.at = Some(at).filter(|at| *at != Instant::NEVER);
        }
        self.at.is_some_and(|at| at <= clock.now())
    }

    /// When it would go off.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }
}
