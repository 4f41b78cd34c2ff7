use super::{KeyRef, LaneIndex, RuleId};
use crate::{
    quota::Passage,
    words::{Each, Instant, Span, Unit, Weight},
};

/// What was granted, and what the response's report is compared with.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) key: KeyRef,
    pub(super) lane: LaneIndex,
    /// The two parts of its passage. Kept apart they make the grant a word smaller.
    pub(super) pause: Instant,
    pub(super) nth: u32,
    /// The rules whose slots it holds.
    pub(super) slots: [Option<RuleId>; 2],
    pub(super) tokens: Weight,
    /// The table under which it was charged.
    pub(super) table: u32,
    /// Whether the lane had outgrown the token quotas that this crate supplies: they were not charged then.
    pub(super) outgrew: bool,
    /// What had left of its lane with it.
    pub(super) gone: Each<Weight>,
    /// Answers whose length is to be learned from; of more than 255, so many.
    pub(super) answers: u8,
    /// Whether a quota was charged tokens, or would have been had their number been known.
    pub(super) metered: bool,
    /// Whether it has created a job whose name is not known.
    pub(super) unnamed: bool,
    /// Whether jobs held slots when it was charged.
    pub(super) jobs: bool,
    /// For which rates it is worth knowing that its request had a response.
    pub(super) witness: Each<bool>,
    /// When it was charged.
    pub(super) at: Instant,
    pub(super) waited: Span,
}

/// The slots of a grant, to be given back.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldSlots {
    pub(super) key: KeyRef,
    pub(super) lane: LaneIndex,
    pub(super) slots: [Option<RuleId>; 2],
    /// Whether the job's is of a job whose name is not known.
    pub(super) unnamed: bool,
    /// When they were taken.
    pub(super) since: Instant,
}

impl Grant {
    pub(super) const IN_FLIGHT: usize = 0;
    pub(super) const JOB: usize = 1;

    /// The slots that it holds, if it does.
    pub(super) fn slots(&self) -> Option<HeldSlots> {
        (self.slots != [None; 2]).then_some(HeldSlots {
            key: self.key,
            lane: self.lane,
            slots: self.slots,
            unnamed: self.unnamed,
            since: self.at,
        })
    }

    /// Whether it holds the slot of a job, to be.
    pub(super) fn holds_job_slot(&self) -> bool {
        self.slots[Self::JOB].is_some()
    }

    /// What its lane's gate knew.
    pub(super) fn passage(&self) -> Passage {
        let Self { pause, nth, .. } = *self;
        Passage { pause, nth }
    }

    /// What it counts for.
    pub(super) fn weight(&self, of: Unit) -> Weight {
        of.weight(self.tokens)
    }
}
