use smallvec::SmallVec;

use crate::{
    limiter::{KeyRef, LaneIndex, LimitIndex},
    quota::shared::Ask,
    words::{Digest, Instant, Quota, Span, Weight},
};

/// One call to the ledger, for one API key.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) digest: Digest,
    pub(crate) ask: Ask,
    pub(in crate::limiter) key: KeyRef,
    /// The instant at which it was made. It is sent later.
    pub(in crate::limiter) made: Instant,
    /// The limits of `ask.terms`, in the same order.
    pub(in crate::limiter) limits: Vec<LimitIndex>,
    /// The lanes of `ask.lanes`, in the same order.
    pub(in crate::limiter) lanes: SmallVec<[AskedLane; 4]>,
    /// The lanes whose rejections it reports.
    pub(in crate::limiter) paused: SmallVec<[LaneIndex; 2]>,
    /// The table under which it was made.
    pub(in crate::limiter) table: u32,
}

/// A lane that asks for instants.
#[derive(Clone, Copy, Debug)]
pub(in crate::limiter) struct AskedLane {
    pub(in crate::limiter) lane: LaneIndex,
    /// The tokens of each instant.
    pub(in crate::limiter) tokens: Weight,
    /// The part of the lateness that comes from the margins of its limits.
    pub(in crate::limiter) margin: Span,
    /// The shortest window of its limits.
    pub(in crate::limiter) window: Span,
}

impl Errand {
    pub(super) fn new(digest: Digest, key: KeyRef, table: u32, now: Instant) -> Self {
        Self {
            digest,
            ask: Ask::default(),
            key,
            made: now,
            limits: Vec::new(),
            lanes: SmallVec::new(),
            paused: SmallVec::new(),
            table,
        }
    }
}

impl AskedLane {
    pub(super) fn new(lane: LaneIndex, tokens: Weight) -> Self {
        Self {
            lane,
            tokens,
            margin: Span::nanos(u64::MAX),
            window: Span::nanos(u64::MAX),
        }
    }

    /// Notes that the lane is under a quota.
    pub(super) fn limit(&mut self, quota: &Quota) {
        self.margin = self.margin.min(quota.lateness());
        self.window = self.window.min(quota.window());
    }
}
