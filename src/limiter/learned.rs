//! What a lane has learned of how many it may send: requests, or tokens.

use crate::{
    quota::{Left, Rate},
    words::Instant,
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

    /// When one last left that taught it something.
    pub(super) fn last(&self) -> Instant {
        self.rate.as_deref().map_or(Instant::START, Rate::last)
    }

    /// From when on nothing of it is worth remembering.
    pub(super) fn fresh_at(&self) -> Instant {
        let rate = self.rate.as_deref();
        let rate = rate.map_or(Instant::START, Rate::fresh_at);
        rate.max(self.left.as_deref().map_or(Instant::START, Left::next))
    }
}
