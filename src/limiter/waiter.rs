//! One waiting request.

use std::task::Waker;

use slab::Slab;

use super::{KeyIndex, LaneIndex, queue::Position};
use crate::words::{Charge, Instant, Reason, Rejected};

finds!(WaiterId in Slab<Waiter>, Waiter);

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) waker: Waker,
    pub(super) key: KeyIndex,
    pub(super) lane: LaneIndex,
    pub(super) state: WaiterState,
    pub(super) position: Position,
    pub(super) charge: Charge,
    pub(super) since: Instant,
    /// The instant since which nothing but the limits has delayed it.
    pub(super) ready: Instant,
    pub(super) deadline: Instant,
    /// Whether the deadline is the limiter's own `max_wait`.
    pub(super) impatient: bool,
}

#[derive(Debug)]
pub(super) enum WaiterState {
    /// In its lane's queue.
    Queued,
    /// Not polled in its turn, or its inner service was not ready. It is skipped until it is polled, and
    /// keeps its position.
    Lapsed,
    /// Rejected. It learns of this at its next poll.
    Rejected(Box<Rejected>),
}

impl Waiter {
    pub(super) fn is_rejected(&self) -> bool {
        matches!(self.state, WaiterState::Rejected(_))
    }

    /// The reason of its rejection when its deadline passes.
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
