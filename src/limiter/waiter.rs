//! One request that waits.

use std::task::Waker;

use super::{KeyIndex, LaneIndex, line::Place};
use crate::words::{Charge, Instant, Reason, Rejected};

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) waker: Waker,
    pub(super) key: KeyIndex,
    pub(super) lane: LaneIndex,
    pub(super) standing: WaiterState,
    pub(super) place: Place,
    pub(super) charge: Charge,
    pub(super) since: Instant,
    /// Since when nothing but the limits has kept it.
    pub(super) ready: Instant,
    pub(super) deadline: Instant,
    /// Whether the deadline is the limiter's own `max_wait`.
    pub(super) impatient: bool,
}

#[derive(Debug)]
pub(super) enum WaiterState {
    /// In its lane's line.
    Queued,
    /// Not polled in its turn, or not ready: skipped until it is polled, its place is kept.
    Lapsed,
    /// Refused; to be told at its next poll.
    Rejected(Box<Rejected>),
}

impl Waiter {
    /// Why it is refused when its time is up.
    pub(super) fn reason(&self) -> Reason {
        Self::reason_of(self.impatient)
    }

    pub(super) fn reason_of(impatient: bool) -> Reason {
        if impatient {
            Reason::MaxWait
        } else {
            Reason::Deadline
        }
    }
}
