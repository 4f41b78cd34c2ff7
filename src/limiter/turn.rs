//! One request's way through the limiter, poll by poll.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    alarm::{Runtime, this_runtime},
    clock::NEVER,
    permit::{Grant, Permit},
    shared::Shared,
    state::{Arrival, Look},
};
use crate::words::{Call, Rejected};

/// A place in the queue, or none yet. Dropped, it gives the place to the next.
#[derive(Debug)]
pub(crate) struct Turn {
    shared: Arc<Shared>,
    seat: Option<Seat>,
}

#[derive(Debug)]
struct Seat {
    waiter: u32,
    runtime: Runtime,
}

/// The service behind the limiter, as far as a turn is concerned.
pub(crate) trait Inner {
    type Error;

    /// Polls it ready, and keeps it so.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Gives back what being ready holds: the turn did not come after all.
    fn let_go(&mut self);
}

/// Why a turn did not come.
pub(crate) enum Lost<E> {
    Rejected(Rejected),
    Inner(E),
}

impl Turn {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, seat: None }
    }

    /// Whether it stands in the queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.seat.is_some()
    }

    /// The request's first poll.
    pub(crate) fn arrive<I: Inner>(
        &mut self,
        call: &Call,
        inner: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Permit, Lost<I::Error>>> {
        let ready = match inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(Lost::Inner(error))),
            Poll::Pending => false,
        };
        let shared = &self.shared;
        let arrival = shared.with(|state, now, wakes| {
            let deadline = deadline(call, shared, now);
            let waker = Some(cx.waker());
            state.arrive(call, deadline, ready, waker, &shared.settings, now, wakes)
        });
        match arrival {
            Arrival::Admitted(grant) => Poll::Ready(Ok(self.permit(grant))),
            Arrival::Refused(rejected) => Poll::Ready(Err(Lost::Rejected(rejected))),
            Arrival::Queued(waiter) => {
                if ready {
                    inner.let_go();
                }
                self.sit_down(waiter);
                Poll::Pending
            }
        }
    }

    /// Every poll of the request after the first, while it stands in the queue.
    pub(crate) fn wait<I: Inner>(
        &mut self,
        inner: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Permit, Lost<I::Error>>> {
        self.follow();
        let shared = Arc::clone(&self.shared);
        let waiter = self.seat.as_ref().expect("it stands in the queue").waiter;
        let look = shared.with(|state, now, wakes| state.look(waiter, cx.waker(), now, wakes));
        match look {
            Look::Wait => return Poll::Pending,
            Look::Refused(rejected) => {
                self.stand_up();
                return Poll::Ready(Err(Lost::Rejected(rejected)));
            }
            Look::Go => {}
        }
        match inner.poll_ready(cx) {
            Poll::Pending => {
                shared.with(|state, now, wakes| state.step_aside(waiter, now, wakes));
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(Lost::Inner(error))),
            Poll::Ready(Ok(())) => {}
        }
        let Some(grant) = shared.with(|state, now, wakes| state.claim(waiter, now, wakes)) else {
            inner.let_go();
            return Poll::Pending;
        };
        self.stand_up();
        Poll::Ready(Ok(self.permit(grant)))
    }

    /// Asks once, without waiting.
    pub(super) fn at_once(self, call: &Call) -> Result<Permit, Rejected> {
        let shared = &self.shared;
        let arrival = shared.with(|state, now, wakes| {
            let deadline = deadline(call, shared, now);
            state.arrive(call, deadline, true, None, &shared.settings, now, wakes)
        });
        match arrival {
            Arrival::Admitted(grant) => Ok(self.permit(grant)),
            Arrival::Refused(rejected) => Err(rejected),
            Arrival::Queued(_) => unreachable!("nobody to wake, so it was not queued"),
        }
    }

    fn permit(&self, grant: Grant) -> Permit {
        Permit::new(Arc::clone(&self.shared), grant)
    }

    fn sit_down(&mut self, waiter: u32) {
        // Looked up only now that it waits: who need not wait needs no runtime.
        let runtime = this_runtime();
        self.seat = Some(Seat { waiter, runtime });
        let shared = &self.shared;
        shared.alarms(|alarms| alarms.enter(runtime, shared));
        shared.kick();
    }

    /// The place itself is gone already.
    fn stand_up(&mut self) {
        if let Some(seat) = self.seat.take() {
            self.shared.alarms(|alarms| alarms.leave(seat.runtime));
        }
    }

    /// A future may move to another runtime between two polls.
    fn follow(&mut self) {
        let Some(seat) = &mut self.seat else { return };
        let runtime = this_runtime();
        if runtime == seat.runtime {
            return;
        }
        let left = std::mem::replace(&mut seat.runtime, runtime);
        let shared = &self.shared;
        shared.alarms(|alarms| {
            alarms.leave(left);
            alarms.enter(runtime, shared);
        });
        shared.kick();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(seat) = &self.seat {
            let waiter = seat.waiter;
            self.shared
                .with(|state, now, wakes| state.leave(waiter, now, wakes));
            self.stand_up();
        }
    }
}

fn deadline(call: &Call, shared: &Shared, now: u64) -> u64 {
    let Some(deadline) = call.deadline else {
        return NEVER;
    };
    let instant = shared.clock.instant(now);
    let at = instant.and_then(|now| deadline.from_arrival(now));
    at.map_or(NEVER, |at| shared.clock.nanos(at))
}

/// Nothing behind the limiter: always ready.
pub(super) struct Nothing;

impl Inner for Nothing {
    type Error = std::convert::Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn let_go(&mut self) {}
}
