//! Offers turns to waiting requests.

use std::time::Duration;

use slab::Slab;

use super::{Earliest, Key};
use crate::{
    limiter::{
        LaneIndex, WaiterId,
        moment::Wakes,
        queue::Offer,
        rules::Rules,
        waiter::{Waiter, WaiterState},
    },
    words::{Amount, Cap, Instant, Reason, Rejected, Span},
};

/// Everything outside the key that a pass over the lanes needs.
pub(in crate::limiter) struct World<'a> {
    pub(in crate::limiter) rules: &'a Rules,
    pub(in crate::limiter) waiters: &'a mut Slab<Waiter>,
    pub(in crate::limiter) wakes: &'a mut Wakes,
    pub(in crate::limiter) rejected: &'a mut u64,
    /// The waiter that is being polled now, and so needs no wake.
    pub(in crate::limiter) polled: Option<WaiterId>,
    pub(in crate::limiter) now: Instant,
}

impl Key {
    /// Whether it is this waiter's turn.
    pub(in crate::limiter) fn offers(&self, id: WaiterId, waiter: &Waiter) -> bool {
        let queue = self.lanes[waiter.lane].queue.as_ref();
        let offer = queue.and_then(|queue| queue.offer);
        offer.is_some_and(|offer| offer.waiter == id)
    }

    /// Keeps a turn that is being claimed now from lapsing, since its owner would not be woken again.
    pub(in crate::limiter) fn renew(&mut self, id: WaiterId, waiter: &Waiter, now: Instant) {
        let queue = self.lanes[waiter.lane].queue.as_mut();
        if let Some(offer) = queue.and_then(|queue| queue.offer.as_mut()) {
            if offer.waiter == id {
                offer.until = now + OFFER;
            }
        }
    }

    /// Offers turns to requests that may be sent now. Returns the instant of the next look.
    ///
    /// The lanes are asked in the order of their last departures, and each gets its [places](super::places)
    /// before the next is asked.
    pub(in crate::limiter) fn pump(&mut self, world: &mut World<'_>) -> Instant {
        self.clear_places();
        let mut next = Instant::NEVER;
        let mut turn = 0;
        while turn < self.turns.len() {
            let lane = self.turns[turn];
            self.lanes[lane].awaits_job = false;
            let Some(head) = self.head(lane, world) else {
                // A lane whose waiters are all skipped keeps its place.
                match self.lanes[lane].tidy() {
                    true => drop(self.turns.remove(turn)),
                    false => turn += 1,
                }
                continue;
            };
            let (rules, now) = (world.rules, world.now);
            let tokens = self.tokens(lane, world.waiters[head].charge, rules);
            let Some(mut wait) = self.ask(lane, tokens, Amount(0), rules, now) else {
                self.reject(head, Reason::NeverFits, None, world);
                continue;
            };
            let weights = self.weights(lane, tokens, rules);
            wait.at = wait.at.max(self.spares(lane, &weights, rules, now));
            let blocked = match wait.full {
                None => self.blocked(&weights, tokens, wait, rules, now),
                Some(_) => None,
            };
            let at = blocked.map_or(wait.at, |until| until.max(wait.at));
            if wait.is_now(now) && blocked.is_none() {
                next = next.min(self.offer(lane, head, world));
                self.place(lane, &weights, tokens, (now, true), rules, now);
            } else {
                next = next.min(self.defer(lane, wait, rules, now));
                if wait.full.is_none() {
                    self.place(lane, &weights, tokens, (at, false), rules, now);
                }
            }
            turn += 1;
        }
        next
    }

    /// Rejects a waiter.
    pub(in crate::limiter) fn reject(
        &mut self,
        id: WaiterId,
        reason: Reason,
        retry_after: Option<Duration>,
        world: &mut World<'_>,
    ) {
        let waiter = &mut world.waiters[id];
        let lane = &mut self.lanes[waiter.lane];
        lane.counts.rejected += 1;
        *world.rejected += 1;
        let waited = (world.now - waiter.since).as_duration();
        let mut rejected = Rejected::new(reason, lane.endpoint, retry_after).after(waited);
        if reason == Reason::NeverFits {
            rejected = self.never_fits(rejected, waiter.lane, waiter.charge, world.rules);
        }
        self.give_up(waiter);
        waiter.state = WaiterState::Rejected(Box::new(rejected));
        world.wakes.add(&waiter.waker);
    }

    /// The first waiter in a lane that keeps its turn.
    fn head(&mut self, lane: LaneIndex, world: &mut World<'_>) -> Option<WaiterId> {
        let queue = self.lanes[lane].queue.as_mut()?;
        if let Some(offer) = queue.offer.filter(|offer| offer.until <= world.now) {
            let waiter = &mut world.waiters[offer.waiter];
            queue.skip(waiter.position);
            waiter.state = WaiterState::Lapsed;
        }
        queue.head()
    }

    /// Notes what delays a lane. Returns the instant at which to ask again.
    fn defer(&mut self, lane: LaneIndex, wait: Earliest, rules: &Rules, now: Instant) -> Instant {
        let lane = &mut self.lanes[lane];
        lane.queue().offer = None;
        let binding = wait.binding.map(|index| rules.cap(self.limits[index].rule));
        lane.awaits_job = matches!(binding, Some(Cap::Jobs(_)));
        if let Some(limit) = wait.binding {
            lane.queue().delay(limit, now);
        }
        lane.queue().lacked_slot |= wait.at <= now && wait.full.is_some() && wait.binding.is_some();
        // A lane that only places delay is asked again after the lanes before it have sent.
        let at = if wait.at > now {
            wait.at
        } else {
            Instant::NEVER
        };
        wait.full.map_or(at, |full| at.min(full))
    }

    /// Offers the turn to the head of a lane. Returns the instant at which the offer ends.
    fn offer(&mut self, lane: LaneIndex, head: WaiterId, world: &mut World<'_>) -> Instant {
        let queue = self.lanes[lane].queue();
        match queue.offer {
            Some(offer) if offer.waiter == head => offer.until,
            _ => {
                let until = world.now + OFFER;
                queue.offer = Some(Offer {
                    waiter: head,
                    until,
                });
                if world.polled != Some(head) {
                    world.wakes.add(&world.waiters[head].waker);
                }
                until
            }
        }
    }
}

/// A turn waits this long for its owner to be polled. A waiter that is not polled delays the others by this
/// time at most.
const OFFER: Span = Span::millis(10);
