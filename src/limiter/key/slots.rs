//! The slots of requests in flight and of jobs.

use super::Key;
use crate::{
    limiter::{LaneIndex, LimitIndex, RuleId, grant::Grant, grant::HeldSlots, rules::Rules},
    quota::Slots,
    words::{Cap, Endpoint, Instant},
};

impl Key {
    /// Calls `act` with the slots of a rule.
    pub(in crate::limiter) fn slots(
        &mut self,
        rules: &Rules,
        id: RuleId,
        act: impl FnOnce(&mut Slots),
    ) {
        let mut limits = self.limits.iter_mut();
        let limit = limits.find(|limit| rules.id(limit.rule) == id);
        if let Some(slots) = limit.and_then(|limit| limit.bucket.slots()) {
            act(slots);
        }
    }

    /// The server has listed the running jobs that such requests had created by an instant.
    pub(in crate::limiter) fn listed_jobs(
        &mut self,
        rules: &Rules,
        creation: Endpoint,
        until: Instant,
        now: Instant,
    ) {
        let lanes = self.lanes.iter().filter(|lane| lane.endpoint == creation);
        let under: Vec<_> = lanes.filter_map(|lane| lane.slots[Grant::JOB]).collect();
        for rule in under {
            self.slots(rules, rule, |slots| slots.listed(until, now));
        }
    }

    /// Whether a request waits for a job to end.
    pub(in crate::limiter) fn awaits_jobs(&self) -> bool {
        self.lanes.iter().any(|lane| lane.awaits_job)
    }

    /// Whether a request waits for a job to end that requests to `creation` create.
    pub(in crate::limiter) fn awaits_job(&self, creation: Endpoint) -> bool {
        let mut lanes = self.lanes.iter();
        lanes.any(|lane| lane.endpoint == creation && lane.awaits_job)
    }

    /// Gives back the slots of a permit. The in-flight slot goes to the limit that its lane is under now. The
    /// slot of a running job without a name is kept.
    pub(in crate::limiter) fn release(&mut self, rules: &Rules, held: HeldSlots, now: Instant) {
        let mut slots = held.slots;
        if let Some(rule) = slots[Grant::JOB].take_if(|_| held.unnamed) {
            let rule = self.job_rule(rules, held.lane, rule, now);
            self.slots(rules, rule, |slots| slots.keep_unnamed(now));
        }
        if slots[Grant::IN_FLIGHT].is_some() {
            let lane = &mut self.lanes[held.lane];
            lane.in_flight -= 1;
            slots[Grant::IN_FLIGHT] = lane.slots[Grant::IN_FLIGHT];
            let mut limits = lane.limits.iter();
            let in_flight = |index: &&LimitIndex| {
                matches!(rules.cap(self.limits[**index].rule), Cap::InFlight(_))
            };
            if let (Some(places), Some(index)) = (&mut self.places, limits.find(in_flight)) {
                places.freed(*index, now - held.since);
            }
        }
        for rule in slots.into_iter().flatten() {
            self.give_back(rules, rule, now);
        }
    }

    /// The rule whose slot a job keeps, if its create took a slot of `rule`. If that rule is not in the table
    /// any more, the job takes a slot of the rule that the lane is under now.
    pub(in crate::limiter) fn job_rule(
        &mut self,
        rules: &Rules,
        lane: LaneIndex,
        rule: RuleId,
        now: Instant,
    ) -> RuleId {
        match (rules.index(rule), self.lanes[lane].slots[Grant::JOB]) {
            (None, Some(other)) => {
                self.slots(rules, other, |slots| slots.adopt(now));
                other
            }
            _ => rule,
        }
    }

    /// Gives back a slot of a rule.
    pub(in crate::limiter) fn give_back(&mut self, rules: &Rules, rule: RuleId, now: Instant) {
        self.slots(rules, rule, |slots| slots.release(now));
    }

    /// Counts the requests in flight under the limits that their lanes are under now.
    pub(super) fn recount(&mut self, rules: &Rules) {
        for limit in &mut self.limits {
            if let (Cap::InFlight(_), Some(slots)) = (rules.cap(limit.rule), limit.bucket.slots()) {
                let id = rules.id(limit.rule);
                let lanes = self.lanes.iter();
                let under = lanes.filter(|lane| lane.slots[Grant::IN_FLIGHT] == Some(id));
                slots.recount(under.map(|lane| lane.in_flight).sum());
            }
        }
    }
}
