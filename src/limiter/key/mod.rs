//! One API key: its limits, its lanes, and whose turn it is.

mod constraint;
mod cost;
mod places;
mod pump;
mod shares;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;

use super::{
    LaneIndex, LimitIndex, RuleId, RuleIndex, WaiterId,
    grant::{Grant, HeldSlots},
    lane::{Counts, Lane, OVERFLOW},
    learned::Learned,
    output::Output,
    rules::Rules,
    waiter::{Standing, Waiter},
};
use crate::{
    quota::{Bucket, Rate, Slots},
    words::{Call, Cap, Each, Endpoint, Instant, KeyId, Settled, Unit, Weight, hash},
};

use self::places::Places;
pub(super) use self::pump::World;

#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: KeyId,
    /// Its number among all keys ever made.
    pub(super) born: u64,
    pub(super) name: Option<Arc<str>>,
    // Inline for most keys, so that one of many thousands costs few misses of the cache.
    pub(super) limits: SmallVec<[Limit; 2]>,
    pub(super) lanes: SmallVec<[Lane; 1]>,
    /// The lanes in which somebody could go, the longest without a departure first.
    turns: Vec<LaneIndex>,
    /// How many wait, in line or not.
    pub(super) waiting: u32,
    /// When it is to be looked at again.
    pub(super) alarm: Instant,
    /// Places of the lanes in `turns` in their limits, as of the last pass.
    places: Option<Box<Places>>,
}

/// One limit's state.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) rule: RuleIndex,
    pub(super) bucket: Bucket,
}

/// When a request may leave, as far as its limits are concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// Not before this instant.
    pub(super) at: Instant,
    /// Nor before a slot comes free: asked again at this instant at the latest.
    pub(super) full: Option<Instant>,
    /// The limit that keeps it back for longest; a pause is none, for it is the lane's own.
    binding: Option<LimitIndex>,
}

impl Wait {
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.at <= now && self.full.is_none()
    }
}

impl Key {
    pub(super) fn new(call: &Call, born: u64) -> Self {
        Self {
            id: call.key,
            born,
            name: call.key_name.clone(),
            limits: SmallVec::new(),
            lanes: SmallVec::new(),
            turns: Vec::new(),
            waiting: 0,
            alarm: Instant::NEVER,
            places: None,
        }
    }

    /// From when on it is no different from a new one; `None` while it is in use.
    pub(super) fn fresh_at(&self, rules: &Rules) -> Option<Instant> {
        let learned = self.learned().map(|learned| learned.fresh_at()).max();
        Some(self.unused_at(rules)?.max(learned.unwrap_or_default()))
    }

    /// From when on it differs from a new one only in what it has learned; `None` while it is in use.
    pub(super) fn unused_at(&self, rules: &Rules) -> Option<Instant> {
        if self.waiting > 0 {
            return None;
        }
        let gates = self.lanes.iter().filter_map(|lane| lane.gate.as_ref());
        let paused = gates.map(|gate| gate.fresh_at()).max().unwrap_or_default();
        self.limits.iter().try_fold(paused, |latest, limit| {
            let at = limit.bucket.fresh_at(rules.cap(limit.rule))?;
            Some(at.max(latest))
        })
    }

    /// When it last learned something.
    pub(super) fn learned_last(&self) -> Instant {
        self.learned()
            .map(|learned| learned.last())
            .max()
            .unwrap_or_default()
    }

    fn learned(&self) -> impl Iterator<Item = &Learned> {
        let lanes = self.lanes.iter();
        lanes.flat_map(|lane| Unit::BOTH.map(|unit| &lane.learned[unit]))
    }

    /// Whether nobody stands in any line, so that who comes may go at once.
    pub(super) fn is_quiet(&self) -> bool {
        self.turns.is_empty()
    }

    /// Whether one who comes to this lane may go at once, since nobody is before it in the lane
    /// and, as of the pass just made, it makes no other lane later.
    pub(super) fn lets_by(
        &mut self,
        lane: LaneIndex,
        tokens: Weight,
        wait: Wait,
        rules: &Rules,
        now: Instant,
    ) -> bool {
        let alone = self.lanes[lane].line.is_none();
        let costs = self.costs(lane, tokens, rules);
        alone
            && self.spares(lane, &costs, rules, now) <= now
            && self.blocked(&costs, tokens, wait, rules, now).is_none()
    }

    /// The lane of a call, made if there is none.
    pub(super) fn lane(&mut self, call: &Call, rules: &Rules, max_lanes: usize) -> LaneIndex {
        let model_id = id_of(call);
        if let Some(lane) = self.find(call.endpoint, model_id) {
            return lane;
        }
        let Some(model) = &call.model else {
            return self.add_lane(call.endpoint, 0, None, rules);
        };
        if self.lanes.len() < max_lanes || rules.knows(model) {
            return self.add_lane(call.endpoint, model_id, Some(Arc::clone(model)), rules);
        }
        self.find(call.endpoint, OVERFLOW)
            .unwrap_or_else(|| self.add_lane(call.endpoint, OVERFLOW, None, rules))
    }

    /// All of the lanes, in order.
    pub(super) fn lane_indices(&self) -> impl Iterator<Item = LaneIndex> + use<> {
        (0..self.lanes.len()).map(LaneIndex::new)
    }

    /// The lane that a call would be in, if there is one.
    fn lane_of(&self, call: &Call) -> Option<LaneIndex> {
        let own = self.find(call.endpoint, id_of(call));
        own.or_else(|| self.find(call.endpoint, OVERFLOW))
    }

    /// The pace of a lane, watched from now on if it was not: it begins with what its table says.
    pub(super) fn rate(
        &mut self,
        lane: LaneIndex,
        unit: Unit,
        rules: &Rules,
        now: Instant,
    ) -> &mut Rate {
        let lane = &mut self.lanes[lane];
        let (mut rate, mut ceiling) = (f64::INFINITY, f64::INFINITY);
        for &index in &lane.limits {
            let rule = rules.rule(self.limits[index].rule);
            if let Some(interval) = rule.cap.interval(unit) {
                let allowed = 1e9 / interval.as_nanos() as f64;
                rate = rate.min(allowed);
                if rule.ceiling {
                    ceiling = ceiling.min(allowed);
                }
            }
        }
        lane.learned[unit]
            .rate
            .get_or_insert_with(|| Box::new(Rate::new(unit, rate, ceiling, now)))
    }

    /// Puts a waiter in its line.
    pub(super) fn join(&mut self, id: WaiterId, waiter: &Waiter) {
        let line = self.lanes[waiter.lane].line();
        line.join(waiter.place, id, waiter.since);
        if !self.turns.contains(&waiter.lane) {
            self.turns.push(waiter.lane);
        }
    }

    /// Puts a waiter that was skipped back in its place.
    pub(super) fn back(&mut self, id: WaiterId, waiter: &mut Waiter) {
        waiter.standing = Standing::InLine;
        let line = self.lanes[waiter.lane].line();
        line.back(waiter.place, id);
    }

    /// Gives up a waiter's place for good.
    pub(super) fn leave(&mut self, waiter: &Waiter) {
        let line = self.lanes[waiter.lane].line();
        match waiter.standing {
            Standing::InLine => line.remove(waiter.place),
            Standing::Lapsed => line.forget(waiter.place),
            Standing::Refused(_) => {}
        }
    }

    /// Takes a waiter out of its line to go; its lane's next turn comes after everybody's.
    pub(super) fn depart(&mut self, waiter: &Waiter, now: Instant) {
        let line = self.lanes[waiter.lane].line();
        line.depart(waiter.place, now);
        if let Some(turn) = self.turns.iter().position(|turn| *turn == waiter.lane) {
            self.turns[turn..].rotate_left(1);
        }
    }

    /// Does something with the slots of a rule.
    pub(super) fn slots(&mut self, rules: &Rules, id: RuleId, act: impl FnOnce(&mut Slots)) {
        let mut limits = self.limits.iter_mut();
        let limit = limits.find(|limit| rules.id(limit.rule) == id);
        if let Some(slots) = limit.and_then(|limit| limit.bucket.slots()) {
            act(slots);
        }
    }

    /// The server has said which jobs run of those that such requests had created by an instant.
    pub(super) fn named_jobs(
        &mut self,
        rules: &Rules,
        creation: Endpoint,
        until: Instant,
        now: Instant,
    ) {
        let lanes = self.lanes.iter().filter(|lane| lane.endpoint == creation);
        let under: Vec<_> = lanes.filter_map(|lane| lane.slots[Grant::JOB]).collect();
        for rule in under {
            self.slots(rules, rule, |slots| slots.named(until, now));
        }
    }

    /// Whether somebody waits for a job to end.
    pub(super) fn awaits_jobs(&self) -> bool {
        self.lanes.iter().any(|lane| lane.awaits_job)
    }

    /// The same, of jobs that such requests create.
    pub(super) fn awaits_job(&self, creation: Endpoint) -> bool {
        let mut lanes = self.lanes.iter();
        lanes.any(|lane| lane.endpoint == creation && lane.awaits_job)
    }

    /// Gives back the slots of a permit: the one in flight to the limit that its lane is under now. One of a
    /// job that runs without a name is kept.
    pub(super) fn release(&mut self, rules: &Rules, held: HeldSlots, now: Instant) {
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
            self.free(rules, rule, now);
        }
    }

    /// The rule whose slot a job keeps, if its create took a slot of `rule`: where that has gone with its table,
    /// the job takes a slot of the one that the lane is under now.
    pub(super) fn job_rule(
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
    pub(super) fn free(&mut self, rules: &Rules, rule: RuleId, now: Instant) {
        self.slots(rules, rule, |slots| slots.release(now));
    }

    /// Settles that a request did not cost the tokens of its grant but `tokens`, in every quota that was
    /// charged for it; what more it cost, under another table, in the quotas of that.
    fn settle(&mut self, grant: &mut Grant, tokens: Weight, rules: &Rules, now: Instant) {
        // A charge under another table was paid off at that table's pace: how much is left is not known.
        let lost = grant.table != rules.number && tokens < grant.tokens;
        let (from, to) = (grant.tokens, tokens);
        let settled = Settled { from, to };
        let lane = &mut self.lanes[grant.lane];
        for &index in lane.limits.iter().filter(|_| !lost) {
            let limit = &mut self.limits[index];
            let rule = rules.rule(limit.rule);
            let Cap::Tokens(quota) = &rule.cap else {
                continue;
            };
            if rule.ceiling || !grant.outgrew {
                limit.bucket.settle(&rule.cap, grant.at, settled, now);
                if let Some(places) = &mut self.places {
                    places.settle(grant.lane, index, quota, grant.at, settled);
                }
            }
        }
        if let Some(rate) = &mut lane.learned.tokens.rate {
            rate.settle(grant.at, settled, now);
        }
        grant.tokens = tokens;
    }

    /// Goes on under another table.
    pub(super) fn rebase(&mut self, old: &Rules, new: &Rules, now: Instant) {
        self.places = None;
        let before: Vec<_> = std::mem::take(&mut self.limits)
            .into_iter()
            .map(|limit| (limit.rule, limit.bucket))
            .collect();
        for index in self.lane_indices() {
            // What was learned was learned from the old one.
            self.lanes[index].learned = Each::default();
            self.limit_lane(index, new);
            if let Some(line) = &mut self.lanes[index].line {
                line.move_on();
            }
        }
        for (before, mut bucket) in before {
            let Some(rule) = new.index(old.id(before)) else {
                continue;
            };
            bucket.rebase(old.cap(before), new.cap(rule), now);
            // Kept even where no lane is under it just now: what left is still on its way.
            match self.limits.iter_mut().find(|limit| limit.rule == rule) {
                Some(limit) => limit.bucket = bucket,
                None => self.limits.push(Limit::new(rule, bucket)),
            }
        }
        self.recount(new);
    }

    /// Counts the requests in flight under the limits that their lanes are under now.
    fn recount(&mut self, rules: &Rules) {
        for limit in &mut self.limits {
            if let (Cap::InFlight(_), Some(slots)) = (rules.cap(limit.rule), limit.bucket.slots()) {
                let id = rules.id(limit.rule);
                let lanes = self.lanes.iter();
                let under = lanes.filter(|lane| lane.slots[Grant::IN_FLIGHT] == Some(id));
                slots.recount(under.map(|lane| lane.in_flight).sum());
            }
        }
    }

    fn find(&self, endpoint: Endpoint, model_id: u64) -> Option<LaneIndex> {
        let mut lanes = self.lanes.iter();
        let lane = lanes.position(|lane| lane.model_id == model_id && lane.endpoint == endpoint)?;
        Some(LaneIndex::new(lane))
    }

    fn add_lane(
        &mut self,
        endpoint: Endpoint,
        model_id: u64,
        model: Option<Arc<str>>,
        rules: &Rules,
    ) -> LaneIndex {
        self.lanes.push(Lane {
            endpoint,
            model_id,
            model,
            limits: SmallVec::new(),
            slots: [None; 2],
            in_flight: 0,
            gate: None,
            learned: Each::default(),
            line: None,
            output: Output::default(),
            waiting: 0,
            awaits_job: false,
            counts: Counts::default(),
            spent: 0,
            waited: Duration::ZERO,
        });
        let lane = LaneIndex::new(self.lanes.len() - 1);
        self.limit_lane(lane, rules);
        lane
    }

    /// Puts a lane under the limits of its rules, made where there are none.
    fn limit_lane(&mut self, lane: LaneIndex, rules: &Rules) {
        let Self { limits, lanes, .. } = self;
        let lane = &mut lanes[lane];
        (lane.limits, lane.slots) = (SmallVec::new(), [None; 2]);
        for rule in rules.of(lane.endpoint, lane.model.as_deref()) {
            let cap = rules.cap(rule);
            let known = limits.iter().position(|limit| limit.rule == rule);
            let index = known.unwrap_or_else(|| {
                limits.push(Limit::new(rule, Bucket::new(cap)));
                limits.len() - 1
            });
            lane.limits.push(LimitIndex::new(index));
            match cap {
                Cap::InFlight(_) => lane.slots[Grant::IN_FLIGHT] = Some(rules.id(rule)),
                Cap::Jobs(_) => lane.slots[Grant::JOB] = Some(rules.id(rule)),
                Cap::Requests(_) | Cap::Tokens(_) => {}
            }
        }
    }
}

impl Limit {
    fn new(rule: RuleIndex, bucket: Bucket) -> Self {
        Self { rule, bucket }
    }
}

fn id_of(call: &Call) -> u64 {
    // Two values have a meaning of their own.
    let id = |model: &Arc<str>| hash(model).clamp(1, OVERFLOW - 1);
    call.model.as_ref().map_or(0, id)
}
