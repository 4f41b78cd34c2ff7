use smallvec::SmallVec;

use super::{KeyRef, LaneIndex, RuleId};
use crate::{
    quota::Passage,
    words::{Each, Instant, Span, Unit, Weight},
};

/// What was granted, to be given back.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) key: KeyRef,
    pub(super) lane: LaneIndex,
    pub(super) passage: Passage,
    /// The rules whose slots it holds.
    pub(super) slots: [Option<RuleId>; 2],
    pub(super) tokens: Weight,
    /// The ids of the rules whose token quotas were charged for it.
    pub(super) quotas: SmallVec<[RuleId; 2]>,
    /// The table under which they were.
    pub(super) table: u32,
    /// What had left of its lane with it.
    pub(super) gone: Each<Weight>,
    /// Answers whose length is to be learned from; of more than 255, so many.
    pub(super) answers: u8,
    /// Whether a quota was charged tokens, or would have been had their number been known.
    pub(super) metered: bool,
    /// Whether jobs held slots when it was charged.
    pub(super) jobs: bool,
    /// When it was charged.
    pub(super) at: Instant,
    pub(super) waited: Span,
}

impl Grant {
    pub(super) const IN_FLIGHT: usize = 0;
    pub(super) const JOB: usize = 1;

    /// Whether it holds the slot of a job, to be.
    pub(super) fn holds_job_slot(&self) -> bool {
        self.slots[Self::JOB].is_some()
    }

    /// What it counts for.
    pub(super) fn weight(&self, of: Unit) -> Weight {
        of.weight(self.tokens)
    }
}
