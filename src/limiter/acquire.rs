use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::{
    permit::Permit,
    turn::{Lost, Nothing, Turn},
};
use crate::words::{Call, Rejected};

/// The future of [`Limiter::acquire`](super::Limiter::acquire).
///
/// # Cancel safety
///
/// If it is dropped before it is ready, it has cost nothing, and the next request in the queue moves up.
///
/// # Panics
///
/// If it has to wait and is polled outside a Tokio runtime with its timer enabled.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Acquire {
    call: Call,
    turn: Turn,
}

impl Acquire {
    pub(super) fn new(call: Call, turn: Turn) -> Self {
        Self { call, turn }
    }
}

impl Future for Acquire {
    type Output = Result<Permit, Rejected>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let poll = if this.turn.is_queued() {
            this.turn.wait(&mut Nothing, cx)
        } else {
            this.turn.arrive(&this.call, &mut Nothing, cx)
        };
        poll.map_err(|lost| match lost {
            Lost::Rejected(rejected) => rejected,
            Lost::Inner(never) => match never {},
        })
    }
}
