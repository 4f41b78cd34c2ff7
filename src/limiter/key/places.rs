//! The places that waiting lanes keep in the limits they are under.
//!
//! A pass gives each lane in turn a place in all of its limits: when it can leave, as far as that is
//! known, and what it then costs. A place is not a hold: a later lane leaves first wherever that makes no
//! earlier lane later. So no lane starves between two limits that others keep busy in turn, and a limit
//! idles for a lane that waits for another one for less than one of its own intervals.
//!
//! How long a slot stays taken is not known. A lane keeps one free only once it could have left but for
//! that slot, until it leaves.

use super::Key;
use crate::{
    limiter::{LaneIndex, LimitIndex, rules::Rules},
    quota::Verdict,
    words::{Cap, Count, Instant, Rule, Weight},
};

/// A place in a limit.
#[derive(Debug)]
pub(super) struct Place {
    limit: LimitIndex,
    /// When its lane can leave.
    at: Instant,
    cost: u64,
    /// The most that later lanes may be charged before it without making it later.
    room: u64,
}

impl Key {
    /// Forgets all places, for a pass that gives them anew.
    pub(super) fn clear_places(&mut self) {
        self.places.clear();
        self.limits.iter_mut().for_each(|limit| limit.behind = 0);
    }

    /// Until when the places of earlier lanes keep back one whose own limits let it go; `None` if they
    /// do not. Of a slot, when it comes free is not known.
    pub(super) fn blocked(
        &mut self,
        lane: LaneIndex,
        tokens: Weight,
        rules: &Rules,
        now: Instant,
    ) -> Option<Instant> {
        let mut until = None;
        for (index, cost) in self.costs(lane, tokens, rules) {
            let limit = &mut self.limits[index];
            let cap = rules.cap(limit.rule);
            if is_slots(rules.rule(limit.rule)) {
                if limit.bucket.left(cap, now) <= limit.behind {
                    until = until.max(Some(now));
                }
                continue;
            }
            let places = || self.places.iter().filter(|place| place.limit == index);
            let blocking = places().filter(|place| place.room < cost);
            let blocked = blocking.map(|place| place.at).max();
            let first = blocked.unwrap_or(now);
            let ahead = places().filter(|place| place.at <= first);
            let ahead = ahead.map(|place| place.cost).sum::<u64>();
            match limit
                .bucket
                .ask(cap, tokens, Count(ahead.saturating_add(limit.behind)), now)
            {
                Verdict::At(at) => until = until.max(Some(at.max(first))),
                _ => until = until.max(blocked),
            }
        }
        until
    }

    /// Gives a lane its places. It can leave at `at`; `takes` if it is offered its turn.
    pub(super) fn place(
        &mut self,
        lane: LaneIndex,
        tokens: Weight,
        at: Instant,
        takes: bool,
        rules: &Rules,
        now: Instant,
    ) {
        let keeps_slot = takes || self.lanes[lane].lacked_slot;
        for (index, cost) in self.costs(lane, tokens, rules) {
            let limit = &mut self.limits[index];
            if is_slots(rules.rule(limit.rule)) {
                limit.behind += u64::from(keeps_slot);
                continue;
            }
            let mut places = self.places.iter_mut().filter(|place| place.limit == index);
            if places.any(|place| place.room == 0) {
                limit.behind = limit.behind.saturating_add(cost);
                continue;
            }
            let mut before = 0_u64;
            for place in self.places.iter_mut().filter(|place| place.limit == index) {
                if place.at <= at {
                    before = before.saturating_add(place.cost);
                } else {
                    place.room = place.room.saturating_sub(cost);
                }
            }
            let (cap, ahead) = (rules.cap(limit.rule), Count(before));
            let room = limit.bucket.room(cap, Weight(cost), ahead, at, now);
            self.places.push(Place {
                limit: index,
                at,
                cost,
                room,
            });
        }
    }

    /// The limits of a lane in which a request costs something, and what.
    fn costs(
        &self,
        lane: LaneIndex,
        tokens: Weight,
        rules: &Rules,
    ) -> smallvec::SmallVec<[(LimitIndex, u64); 4]> {
        let lane = &self.lanes[lane];
        let costs = lane.limits.iter().filter_map(|&index| {
            let rule = rules.rule(self.limits[index].rule);
            let cost = match rule.cap {
                Cap::Tokens(_) => tokens.0,
                Cap::Requests(_) | Cap::InFlight(_) | Cap::Jobs(_) => 1,
            };
            (cost > 0 && !lane.outgrew(rule)).then_some((index, cost))
        });
        costs.collect()
    }
}

fn is_slots(rule: &Rule) -> bool {
    rule.cap.unit().is_none()
}
