//! The requests or tokens that a lane has learned it may send.

use crate::{
    quota::{Rate, Remaining},
    words::Instant,
};

#[derive(Debug, Default)]
pub(super) struct Learned {
    /// The learned pace. It is made when a request waits, or when the server names a limit.
    pub(super) rate: Option<Box<Rate>>,
    /// The remainder that the server named. It is made when the server names one.
    pub(super) remaining: Option<Box<Remaining>>,
}

impl Learned {
    /// Whether the learned pace leads, instead of the numbers that this crate supplied.
    pub(super) fn leads(&self) -> bool {
        self.rate.as_ref().is_some_and(|rate| rate.leads())
    }

    /// The last departure that the lane learned from.
    pub(super) fn last(&self) -> Instant {
        self.rate.as_deref().map_or(Instant::START, Rate::last)
    }

    /// The instant from which on nothing learned is worth remembering.
    pub(super) fn fresh_at(&self) -> Instant {
        let rate = self.rate.as_deref();
        let rate = rate.map_or(Instant::START, Rate::fresh_at);
        let remaining = self.remaining.as_deref();
        rate.max(remaining.map_or(Instant::START, Remaining::next))
    }
}
