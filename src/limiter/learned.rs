//! What a lane has learned of how many it may send: requests, or tokens.

use crate::{
    quota::{Left, Rate},
    words::{Instant, Span, Weight},
};

#[derive(Debug, Default)]
pub(super) struct Learned {
    /// The pace it keeps; made when somebody waits, or the server says something of it.
    pub(super) rate: Option<Box<Rate>>,
    /// What the server says is left; made when it does.
    pub(super) left: Option<Box<Left>>,
}

impl Learned {
    /// Whether it is this that paces the lane, and not the numbers that this crate supplied.
    pub(super) fn leads(&self) -> bool {
        self.rate.as_ref().is_some_and(|rate| rate.leads())
    }

    /// The instant before which its pace lets the next not leave.
    pub(super) fn paced(&self, ahead: u64) -> Instant {
        let rate = self.rate.as_ref();
        rate.map_or(Instant::START, |rate| rate.next(ahead))
    }

    /// The instant before which what is left lets the next not leave.
    pub(super) fn spared(&self) -> Instant {
        self.left.as_deref().map_or(Instant::START, Left::next)
    }

    /// How far apart its pace keeps those of weight 1.
    pub(super) fn interval(&self) -> Option<Span> {
        self.rate.as_ref().and_then(|rate| rate.interval())
    }

    /// One leaves that could have left since `ready`, and that the pace kept back, or not.
    pub(super) fn leave(&mut self, weight: Weight, held: bool, ready: Instant, now: Instant) {
        if let Some(rate) = &mut self.rate {
            rate.leave(weight, held, ready, now);
        }
        if let Some(left) = &mut self.left {
            left.leave(weight);
        }
    }

    /// When one last left that taught it something.
    pub(super) fn last(&self) -> Instant {
        self.rate.as_deref().map_or(Instant::START, Rate::last)
    }

    /// From when on nothing of it is worth remembering.
    pub(super) fn fresh_at(&self) -> Instant {
        let rate = self.rate.as_deref();
        let rate = rate.map_or(Instant::START, Rate::fresh_at);
        rate.max(self.spared())
    }
}
