use super::{KeyRef, LaneIndex, RuleId};
use crate::{
    quota::Passage,
    words::{Each, Instant, Span, Unit, Weight},
};

/// The charge of one request, which the response's report is compared with.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) key: KeyRef,
    pub(super) lane: LaneIndex,
    /// The parts of its passage, whose number is 0 if there was no gate yet. Kept apart they make the grant a word
    /// smaller.
    pub(super) pause: Instant,
    pub(super) nth: u32,
    pub(super) firsts: u32,
    /// The rules whose slots it holds.
    pub(super) slots: [Option<RuleId>; 2],
    pub(super) tokens: Weight,
    /// The table under which it was charged.
    pub(super) table: u32,
    /// Whether the lane had outgrown the token quotas that this crate supplies, which were not charged then.
    pub(super) outgrew: bool,
    /// The departures of its lane up to and including this one.
    pub(super) departed: Each<Weight>,
    /// The number of choices whose length is learned from, 255 at most.
    pub(super) choices: u8,
    /// Whether a token quota was charged, or would have been if the number of tokens had been known.
    pub(super) metered: bool,
    /// Whether it is a retry.
    pub(super) retry: bool,
    /// Whether the pace of requests, or that after a pause, was the last thing that delayed it.
    pub(super) paced: bool,
    /// Whether it has created a job of unknown name.
    pub(super) unnamed: bool,
    /// Whether jobs held slots when it was charged.
    pub(super) jobs: bool,
    /// The rates for which a response to its request is worth a report.
    pub(super) witness: Each<bool>,
    /// The instant at which it was charged.
    pub(super) at: Instant,
    pub(super) waited: Span,
}

/// The slots of a grant, to be given back.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldSlots {
    pub(super) key: KeyRef,
    pub(super) lane: LaneIndex,
    pub(super) slots: [Option<RuleId>; 2],
    /// Whether the job's slot belongs to a job of unknown name.
    pub(super) unnamed: bool,
    /// The instant at which they were taken.
    pub(super) since: Instant,
}

impl Grant {
    pub(super) const IN_FLIGHT: usize = 0;
    pub(super) const JOB: usize = 1;

    /// The slots that it holds, if any.
    pub(super) fn slots(&self) -> Option<HeldSlots> {
        (self.slots != [None; 2]).then_some(HeldSlots {
            key: self.key,
            lane: self.lane,
            slots: self.slots,
            unnamed: self.unnamed,
            since: self.at,
        })
    }

    /// Whether it holds a slot for a job that is to be created.
    pub(super) fn holds_job_slot(&self) -> bool {
        self.slots[Self::JOB].is_some()
    }

    /// The state of its lane's gate when it was charged.
    pub(super) fn passage(&self) -> Passage {
        let Self {
            pause,
            mut nth,
            mut firsts,
            ..
        } = *self;
        if nth == 0 {
            // There was no gate yet.
            nth = u32::try_from(self.departed.requests.0).unwrap_or(u32::MAX);
            firsts = nth;
        }
        Passage { pause, nth, firsts }
    }

    /// Its weight in a unit.
    pub(super) fn weight(&self, of: Unit) -> Weight {
        of.weight(self.tokens)
    }
}
