//! The way of one request through the limiter, poll by poll.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{
    WaiterId,
    alarm::{Runtime, this_runtime},
    grant::Grant,
    permit::Permit,
    shared::Shared,
    state::{Arrival, Arriving, Look, State},
};
use crate::{
    observe::Repeats,
    words::{Call, Charge, Endpoint, Instant, Rejected},
};

/// A position in the queue, or none yet. If it is dropped, the next request moves up.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Moves into the permit at the end: two threads that count references to one thing slow each other down.
    shared: Option<Arc<Shared>>,
    entry: Option<Entry>,
}

#[derive(Debug)]
struct Entry {
    waiter: WaiterId,
    /// The runtime of its alarm, once it has one.
    runtime: Option<Runtime>,
    /// Whether it keeps a clone of the inner service that will wake it.
    keeps: bool,
}

/// The service behind the limiter, as far as a turn needs it.
pub(crate) trait Inner {
    type Error;

    /// Polls the service ready, and keeps it ready.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Gives back whatever being ready holds. The turn did not come after all.
    fn let_go(&mut self);
}

/// The reason that a turn did not come.
pub(crate) enum Lost<E> {
    Rejected(Rejected),
    Inner(E),
}

impl Turn {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared: Some(shared),
            entry: None,
        }
    }

    /// Whether the request waits in the queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.entry.is_some()
    }

    /// Whether the tokens of any request to an endpoint are counted.
    pub(crate) fn may_count_tokens(&self, endpoint: Endpoint) -> bool {
        self.shared().may_count_tokens(endpoint)
    }

    /// Whether the tokens of a call are counted.
    pub(crate) fn counts_tokens(&self, call: &Call) -> bool {
        let counts = |state: &State| state.counts_tokens(call);
        self.shared().metered(call.endpoint, counts)
    }

    /// Whether the request waits as one that costs no tokens, in a lane that counts them by now.
    pub(crate) fn is_uncounted(&self, endpoint: Endpoint) -> bool {
        self.entry.as_ref().is_some_and(|entry| {
            let uncounted = |state: &State| state.is_uncounted(entry.waiter);
            self.shared().metered(endpoint, uncounted)
        })
    }

    /// The rejections that were logged.
    pub(crate) fn repeats(&self) -> &Repeats {
        &self.shared().repeats
    }

    /// Sets the charge of a request that waits in the queue.
    pub(crate) fn set_charge(&self, charge: Charge) {
        if let Some(entry) = &self.entry {
            self.shared()
                .with(|state, moment| state.set_charge(entry.waiter, charge, moment));
        }
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
        let arrival = self.enter(call, ready, Some(cx.waker()));
        match arrival {
            Arrival::Admitted(grant) => Poll::Ready(Ok(self.permit(grant))),
            Arrival::Rejected(rejected) => Poll::Ready(Err(Lost::Rejected(rejected))),
            Arrival::Queued { id, keep } => {
                self.enqueue(id, keep);
                if !keep {
                    inner.let_go();
                }
                Poll::Pending
            }
        }
    }

    /// Every poll of the request after the first, while it waits in the queue.
    pub(crate) fn wait<I: Inner>(
        &mut self,
        inner: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Permit, Lost<I::Error>>> {
        self.follow();
        let shared = Arc::clone(self.shared());
        let entry = self.entry.as_mut().expect("it waits in the queue");
        let waiter = entry.waiter;
        let look = shared.with(|state, moment| state.look(waiter, cx.waker(), moment));
        match look {
            Look::Wait => {
                // The inner service woke it, and it is not its turn. Nothing is held.
                if std::mem::take(&mut entry.keeps) {
                    inner.let_go();
                }
                return Poll::Pending;
            }
            Look::Rejected(rejected) => {
                self.dequeue();
                return Poll::Ready(Err(Lost::Rejected(rejected)));
            }
            Look::Go => {}
        }
        match inner.poll_ready(cx) {
            // The turn passes on if this takes longer than a turn lasts.
            Poll::Pending => {
                entry.keeps = true;
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(Lost::Inner(error))),
            Poll::Ready(Ok(())) => {}
        }
        let busy = std::mem::take(&mut entry.keeps);
        let grant = shared.with(|state, moment| state.claim(waiter, busy, moment));
        let Some(grant) = grant else {
            inner.let_go();
            return Poll::Pending;
        };
        self.dequeue();
        Poll::Ready(Ok(self.permit(grant)))
    }

    /// Asks for a permit once, without waiting.
    pub(super) fn at_once(mut self, call: &Call) -> Result<Permit, Rejected> {
        let arrival = self.enter(call, true, None);
        match arrival {
            Arrival::Admitted(grant) => Ok(self.permit(grant)),
            Arrival::Rejected(rejected) => Err(rejected),
            Arrival::Queued { .. } => unreachable!("nobody to wake, so it was not queued"),
        }
    }

    fn enter(&self, call: &Call, ready: bool, waker: Option<&Waker>) -> Arrival {
        let shared = self.shared();
        shared.with(|state, moment| {
            let arriving = Arriving {
                call,
                deadline: deadline(call, shared, moment.now),
                ready,
                waker,
            };
            state.arrive(&arriving, moment)
        })
    }

    fn shared(&self) -> &Arc<Shared> {
        self.shared.as_ref().expect(NOT_OVER)
    }

    fn permit(&mut self, grant: Grant) -> Permit {
        Permit::new(self.shared.take().expect(NOT_OVER), grant)
    }

    fn enqueue(&mut self, waiter: WaiterId, keeps: bool) {
        self.entry = Some(Entry {
            waiter,
            runtime: None,
            keeps,
        });
        self.follow();
    }

    /// Forgets the position, which has been given up already.
    fn dequeue(&mut self) {
        if let Some(runtime) = self.entry.take().and_then(|entry| entry.runtime) {
            self.shared().alarms(|alarms| alarms.leave(runtime));
        }
    }

    /// Has an alarm in the runtime that polls, since a future may move between two polls. A request that need
    /// not wait needs no runtime. If there is no runtime, `Drop` gives the position up.
    fn follow(&mut self) {
        let runtime = this_runtime();
        let shared = self.shared.as_ref().expect(NOT_OVER);
        let Some(entry) = &mut self.entry else { return };
        if entry.runtime == Some(runtime) {
            return;
        }
        let before = entry.runtime.replace(runtime);
        shared.alarms(|alarms| {
            if let Some(before) = before {
                alarms.leave(before);
            }
            alarms.enter(runtime, &shared.clock, || shared.timer_waker());
        });
        shared.kick();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(entry) = &self.entry {
            let waiter = entry.waiter;
            self.shared()
                .with(|state, moment| state.cancel(waiter, moment));
            self.dequeue();
        }
    }
}

fn deadline(call: &Call, shared: &Shared, now: Instant) -> Instant {
    let Some(deadline) = call.deadline else {
        return Instant::NEVER;
    };
    let instant = shared.clock.instant(now);
    let at = instant.and_then(|now| deadline.counted_from(now));
    at.map_or(Instant::NEVER, |at| shared.clock.since_origin(at))
}

const NOT_OVER: &str = "a turn is over once it has become a permit";

/// No service behind the limiter: always ready.
pub(super) struct Nothing;

impl Inner for Nothing {
    type Error = std::convert::Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn let_go(&mut self) {}
}
