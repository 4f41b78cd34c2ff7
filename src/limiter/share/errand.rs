use smallvec::SmallVec;

use crate::{
    limiter::{KeyRef, LaneIndex, LimitIndex},
    quota::shared::Ask,
    words::{Digest, Instant, Quota, Span, Unit, Weight},
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
    pub(in crate::limiter) limits: Vec<SharedLimit>,
    /// The lanes of `ask.lanes`, in the same order.
    pub(in crate::limiter) lanes: SmallVec<[AskedLane; 4]>,
    /// The lanes of `ask.reports`, in the same order.
    pub(in crate::limiter) reported: SmallVec<[LaneIndex; 4]>,
    /// The table under which it was made.
    pub(in crate::limiter) table: u32,
}

/// A limit that processes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::limiter) enum SharedLimit {
    /// A limit of the table, by its place in the key's list.
    Table(LimitIndex),
    /// The pace that a lane has learned.
    Pace(LaneIndex, Unit),
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
    /// The longest time that one of its limits takes for a request, and the unit of that limit.
    pub(in crate::limiter) slowest: (Span, Option<Unit>),
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
            reported: SmallVec::new(),
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
            slowest: (Span::ZERO, None),
        }
    }

    /// Notes that the lane is under a quota of `unit`, of which a request costs `cost`.
    pub(super) fn limit(&mut self, quota: &Quota, unit: Unit, cost: Weight) {
        self.margin = self.margin.min(quota.lateness());
        self.window = self.window.min(quota.window());
        self.takes(quota.window().div_ceil(quota.max()) * cost.0, unit);
    }

    /// Notes that a limit of `unit` takes this time for a request.
    pub(super) fn takes(&mut self, time: Span, unit: Unit) {
        if time > self.slowest.0 {
            self.slowest = (time, Some(unit));
        }
    }
}
