//! The places that waiting lanes keep in the limits they are under.
//!
//! A pass gives each lane in turn a place in all of its limits. A place holds the instant at which the lane
//! can send, as far as it is known, and the weight. A place is not a hold. A later lane sends first if that
//! makes no earlier lane later, or if a limit would otherwise idle for more than a 32nd of its time. By the
//! second rule an earlier lane may send later than in its turn, by half of its wait at most. After that it is
//! not delayed any more. As a result, no lane starves between two limits that other lanes keep busy in turn,
//! and no limit idles for long because a lane waits for another one.
//!
//! The time for which a slot stays taken is known from earlier ones, and with it the time until one comes
//! free. A lane keeps a slot free for that long before it can send. For jobs the time is unknown: a lane
//! keeps a slot free once only the slot was missing, for a minute before it can send.

use smallvec::SmallVec;

use super::{Earliest, Key, Limit, shares::Shares};
use crate::{
    limiter::{LaneIndex, LimitIndex, lane::Lane, rules::Rules},
    quota::Admission,
    words::{Amount, Instant, Quota, Settled, Span, Weight},
};

/// The weight of a request in each of its limits.
pub(super) type Weights = SmallVec<[(LimitIndex, u64); 4]>;

/// The places in the limits of a key, from the last pass.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: Vec<Place>,
    /// One entry for each limit.
    limits: Vec<Contention>,
}

/// The place of a lane in a limit.
#[derive(Debug)]
struct Place {
    limit: LimitIndex,
    /// The instant at which the lane can send.
    at: Instant,
    weight: u64,
    /// The most that later lanes may be charged before it.
    room: u64,
}

/// The state of a limit under which several lanes wait.
#[derive(Debug)]
struct Contention {
    /// The weight of lanes without a place that send before any later lane, or the number of slots kept free.
    behind: u64,
    /// The instant since which the limit idles: a lane that could send waits for an earlier lane.
    idle_since: Instant,
    /// The time for which the limit may idle.
    may_idle: Span,
    /// The shares of the lanes, for a quota that is not paced.
    shares: Shares,
    /// The mean time for which a slot stays taken, if that is known.
    taken_for: Option<Span>,
}

impl Key {
    /// Forgets all places before a pass that gives them anew. A single lane gets none.
    pub(super) fn clear_places(&mut self) {
        if self.lanes.len() > 1 {
            let Places { places, limits } = &mut **self.places.get_or_insert_default();
            places.clear();
            limits.resize_with(self.limits.len(), Contention::new);
            limits.iter_mut().for_each(|limit| limit.behind = 0);
        }
    }

    /// The instant before which a lane does not send, so that others can use their share of a window.
    pub(super) fn spares(
        &mut self,
        lane: LaneIndex,
        weights: &Weights,
        rules: &Rules,
        now: Instant,
    ) -> Instant {
        let mut until = Instant::START;
        let Some(places) = &mut self.places else {
            return until;
        };
        for &(index, weight) in weights {
            let quota = rules.cap(self.limits[index].rule).quota();
            if let Some(quota) = quota.ok().filter(|quota| quota.is_windowed()) {
                let others = self.turns.iter().filter(|other| **other != lane);
                let others = others.filter_map(|&other| {
                    let Lane { queue, limits, .. } = &self.lanes[other];
                    let queue = queue.as_ref().filter(|_| limits.contains(&index))?;
                    queue.head()?;
                    let elsewhere = queue.was_delayed_beside(index, quota.window(), now);
                    Some((other, elsewhere))
                });
                let others: SmallVec<[_; 8]> = others.collect();
                let shares = &mut places.limits[usize::from(index)].shares;
                until = until.max(shares.spares(lane, weight, &others, quota, now));
            }
        }
        until
    }

    /// The instant until which the places of earlier lanes delay a lane whose own limits allow it to send,
    /// now or later. `None` if there is no such delay. If a slot is missing, the instant is `now`, since it
    /// is not known when one comes free.
    pub(super) fn blocked(
        &mut self,
        weights: &Weights,
        tokens: Weight,
        wait: Earliest,
        rules: &Rules,
        now: Instant,
    ) -> Option<Instant> {
        let places = self.places.as_mut()?;
        let mut until = None;
        for &(index, weight) in weights {
            let limit = &mut self.limits[index];
            let (cap, state) = (
                rules.cap(limit.rule),
                &mut places.limits[usize::from(index)],
            );
            if cap.quota().is_err() {
                if limit.bucket.remaining(cap, now) <= state.behind {
                    until = until.max(Some(now));
                }
                continue;
            }
            let places = || places.places.iter().filter(|place| place.limit == index);
            let blocking = places().filter(|place| place.room < weight);
            let blocked = blocking.map(|place| place.at).max();
            if blocked.is_some() && wait.is_now(now) {
                state.idle_since = state.idle_since.min(now);
            }
            let first = blocked.unwrap_or(now);
            let ahead = places().filter(|place| place.at <= first);
            let ahead = ahead.map(|place| place.weight).sum::<u64>();
            let ahead = Amount(ahead.saturating_add(state.behind));
            match limit.bucket.ask(cap, tokens, ahead, now) {
                Admission::At(at) => until = until.max(Some(at.max(first))),
                _ => until = until.max(blocked),
            }
        }
        until
    }

    /// Gives a lane its places. The lane can send at `at`. `takes` tells whether it is offered its turn.
    pub(super) fn place(
        &mut self,
        lane: LaneIndex,
        weights: &Weights,
        tokens: Weight,
        (at, takes): (Instant, bool),
        rules: &Rules,
        now: Instant,
    ) {
        let Some(all) = &mut self.places else { return };
        let queue = self.lanes[lane].queue();
        let lacked_slot = queue.lacked_slot;
        let by = match takes {
            true => at,
            false => queue.departs_by(at, || {
                let turn = weights.iter().map(|&(index, _)| {
                    let limit = &mut self.limits[index];
                    next(limit, tokens, all.before(index), rules, now)
                });
                turn.max().unwrap_or(at)
            }),
        };
        for &(index, weight) in weights {
            let limit = &mut self.limits[index];
            let (cap, state) = (rules.cap(limit.rule), &mut all.limits[usize::from(index)]);
            if let Err(slots) = cap.quota() {
                let keeps = match state.taken_for {
                    Some(time) => at - now < time / u64::from(slots.get()),
                    None => lacked_slot && at - now <= A_MINUTE,
                };
                state.behind += u64::from(takes || keeps);
                continue;
            }
            let mut places = all.places.iter_mut().filter(|place| place.limit == index);
            if places.any(|place| place.room == 0) {
                state.behind = state.behind.saturating_add(weight);
                continue;
            }
            let mut before = 0_u64;
            for place in all.places.iter_mut().filter(|place| place.limit == index) {
                if place.at <= at {
                    before = before.saturating_add(place.weight);
                } else {
                    place.room = place.room.saturating_sub(weight);
                }
            }
            // The time that the lane waits for this limit itself does not count as idle.
            let idle = match next(limit, tokens, before, rules, now) {
                allowed if allowed < at => at - allowed.min(state.idle_since),
                _ => Span::ZERO,
            };
            let latest = if idle > state.may_idle { by } else { at };
            let bucket = &limit.bucket;
            let room = bucket.room(cap, Weight(weight), Amount(before), latest, now);
            all.places.push(Place {
                limit: index,
                at,
                weight,
                room,
            });
        }
    }

    /// The limits in which a request of the lane weighs something, with that weight. Empty if no places are
    /// given.
    pub(super) fn weights(&self, lane: LaneIndex, tokens: Weight, rules: &Rules) -> Weights {
        if self.places.is_none() {
            return SmallVec::new();
        }
        let lane = &self.lanes[lane];
        let weights = lane.limits.iter().filter_map(|&index| {
            let rule = rules.rule(self.limits[index].rule);
            let Weight(weight) = rule.cap.weight(tokens);
            (weight > 0 && !lane.outgrew(rule) && !lane.is_leased(rule)).then_some((index, weight))
        });
        weights.collect()
    }
}

impl Places {
    /// The weight of all lanes that send before a later lane in its turn.
    fn before(&self, index: LimitIndex) -> u64 {
        let places = self.places.iter().filter(|place| place.limit == index);
        let before = places.map(|place| place.weight).sum::<u64>();
        before.saturating_add(self.limits[usize::from(index)].behind)
    }

    /// A slot came free that was taken for `time`.
    pub(super) fn freed(&mut self, index: LimitIndex, time: Span) {
        if let Some(limit) = self.limits.get_mut(usize::from(index)) {
            let mean = limit.taken_for.unwrap_or(time);
            limit.taken_for = Some((mean * 7 + time) / 8);
        }
    }

    /// Settles the charge of a lane to a quota at an instant.
    pub(super) fn settle(
        &mut self,
        lane: LaneIndex,
        index: LimitIndex,
        quota: &Quota,
        at: Instant,
        settled: Settled,
    ) {
        let limit = self.limits.get_mut(usize::from(index));
        if let Some(limit) = limit.filter(|_| quota.is_windowed()) {
            limit.shares.settle(lane, at, settled);
        }
    }

    /// Counts a departure. Its limit may idle for a part of the time that its weight takes.
    pub(super) fn depart(
        &mut self,
        lane: LaneIndex,
        index: LimitIndex,
        quota: &Quota,
        Weight(weight): Weight,
        now: Instant,
    ) {
        if let Some(limit) = self.limits.get_mut(usize::from(index)) {
            if quota.is_windowed() && weight > 0 {
                limit.shares.depart(lane, weight, quota, now);
            }
            let idle = now - limit.idle_since;
            let earned = quota.interval() * weight / IDLE;
            limit.idle_since = Instant::NEVER;
            limit.may_idle = (limit.may_idle - idle + earned).min(quota.window() / IDLE);
        }
    }
}

impl Contention {
    fn new() -> Self {
        Self {
            behind: 0,
            idle_since: Instant::NEVER,
            may_idle: Span::ZERO,
            shares: Shares::default(),
            taken_for: None,
        }
    }
}

/// The instant at which a limit allows a request after `before` has been charged.
fn next(limit: &mut Limit, tokens: Weight, before: u64, rules: &Rules, now: Instant) -> Instant {
    let cap = rules.cap(limit.rule);
    match limit.bucket.ask(cap, tokens, Amount(before), now) {
        Admission::At(at) => at,
        _ => now,
    }
}

/// Most jobs run for longer than a lane's limits delay it.
const A_MINUTE: Span = Span::secs(60);

/// A limit may idle for a 32nd of its time for lanes that wait for others. With no such time, a request that
/// lacks a millisecond is overtaken by one that takes a second. With much more, less than 95 % of the limit
/// is used.
const IDLE: u64 = 32;
