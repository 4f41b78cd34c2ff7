//! One hold of the lock: its instant, and the work that follows once the lock is released.

use std::task::Waker;

use super::mistakes::Mistakes;
use crate::{observe::LaneEvents, words::Instant};

#[derive(Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) wakes: Wakes,
    pub(super) mistakes: Mistakes,
    pub(super) lanes: LaneEvents,
}

/// Wakers to use, and wakers to drop, once the lock is released. Waking may run anything. Dropping a waker
/// may drop a task, and with it a request that waits here.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    wake: Vec<Waker>,
    discard: Vec<Waker>,
}

impl Moment {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            now,
            wakes: Wakes::default(),
            mistakes: Mistakes::default(),
            lanes: LaneEvents::default(),
        }
    }
}

impl Wakes {
    pub(super) fn add(&mut self, waker: &Waker) {
        self.wake.push(waker.clone());
    }

    pub(super) fn discard(&mut self, waker: Waker) {
        self.discard.push(waker);
    }

    pub(super) fn wake(self) {
        // Usually there is nothing to do.
        if self.wake.is_empty() && self.discard.is_empty() {
            return;
        }
        for waker in self.wake {
            shielded(move || waker.wake());
        }
        for waker in self.discard {
            shielded(move || drop(waker));
        }
    }
}

/// Catches the panic of a waker, which is not this crate's fault. It must neither keep the others from being
/// woken nor unwind into the code that happened to wake it.
fn shielded(act: impl FnOnce()) {
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
}
