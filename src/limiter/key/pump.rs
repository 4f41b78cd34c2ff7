//! Whose turn it is.

use std::time::Duration;

use slab::Slab;

use super::Key;
use crate::{
    limiter::{
        clock::NEVER,
        line::Offer,
        moment::Wakes,
        rules::Rules,
        waiter::{Standing, Waiter},
    },
    quota::Verdict,
    words::{Cap, Reason, Rejected},
};

/// What a pass over the lanes needs of the world.
pub(in crate::limiter) struct World<'a> {
    pub(in crate::limiter) rules: &'a Rules,
    pub(in crate::limiter) waiters: &'a mut Slab<Waiter>,
    pub(in crate::limiter) wakes: &'a mut Wakes,
    pub(in crate::limiter) refused: &'a mut u64,
    /// Who is being polled just now, and so needs no waking.
    pub(in crate::limiter) polled: Option<u32>,
    pub(in crate::limiter) now: u64,
}

impl Key {
    /// Whether it is this waiter's turn.
    pub(in crate::limiter) fn offers(&self, id: u32, waiter: &Waiter) -> bool {
        let line = self.lanes[usize::from(waiter.lane)].line.as_ref();
        line.and_then(|line| line.offer)
            .is_some_and(|offer| offer.waiter == id)
    }

    /// A turn that is being taken just now does not lapse under its owner's feet, who would not be
    /// woken again.
    pub(in crate::limiter) fn renew(&mut self, id: u32, waiter: &Waiter, now: u64) {
        let line = self.lanes[usize::from(waiter.lane)].line.as_mut();
        if let Some(offer) = line.and_then(|line| line.offer.as_mut()) {
            if offer.waiter == id {
                offer.until = now + OFFER;
            }
        }
    }

    /// Offers turns to those who may go now. Returns when to look again.
    ///
    /// The lanes are asked in the order of their last departures. One that a limit keeps back
    /// stands in the line of the limit that does so for longest, and so before every later lane
    /// under that limit: heavy requests are not starved by light ones, and a lane kept back by a
    /// limit of its own keeps nobody back.
    pub(in crate::limiter) fn pump(&mut self, world: &mut World<'_>) -> u64 {
        self.pass += 1;
        let mut next = NEVER;
        let mut turn = 0;
        while turn < self.turns.len() {
            let lane = self.turns[turn];
            self.lanes[usize::from(lane)].awaits_job = false;
            let Some(head) = self.head(lane, world) else {
                // The lane of waiters that are skipped keeps its place.
                match self.lanes[usize::from(lane)].tidy() {
                    true => drop(self.turns.remove(turn)),
                    false => turn += 1,
                }
                continue;
            };
            let tokens = self.tokens(lane, world.waiters[head as usize].charge, world.rules);
            match self.ask(lane, tokens, (0, 0), world.rules, world.now) {
                (Verdict::Never, _) => {
                    self.refuse(head, Reason::NeverFits, None, world);
                    continue;
                }
                (Verdict::Now, _) => next = next.min(self.offer(lane, head, world)),
                (verdict, binding) => {
                    self.lanes[usize::from(lane)].line().offer = None;
                    if let Some(index) = binding {
                        let limit = &mut self.limits[usize::from(index)];
                        limit.held = self.pass;
                        let jobs = matches!(world.rules.cap(limit.rule), Cap::Jobs(_));
                        self.lanes[usize::from(lane)].awaits_job = jobs;
                    }
                    if let Verdict::At(at) = verdict {
                        next = next.min(at);
                    }
                }
            }
            turn += 1;
        }
        next
    }

    /// Refuses one who waits.
    pub(in crate::limiter) fn refuse(
        &mut self,
        id: u32,
        reason: Reason,
        retry_after: Option<Duration>,
        world: &mut World<'_>,
    ) {
        let waiter = &mut world.waiters[id as usize];
        let lane = &mut self.lanes[usize::from(waiter.lane)];
        lane.counts.refused += 1;
        *world.refused += 1;
        let waited = Duration::from_nanos(world.now.saturating_sub(waiter.since));
        let mut rejected = Rejected::new(reason, lane.endpoint, retry_after).after(waited);
        if reason == Reason::NeverFits {
            rejected = self.never_fits(rejected, waiter.lane, waiter.charge, world.rules);
        }
        self.leave(waiter);
        waiter.standing = Standing::Refused(Box::new(rejected));
        world.wakes.add(&waiter.waker);
    }

    /// The first in a lane that keeps its turn.
    fn head(&mut self, lane: u16, world: &mut World<'_>) -> Option<u32> {
        let line = self.lanes[usize::from(lane)].line.as_mut()?;
        if let Some(offer) = line.offer.filter(|offer| offer.until <= world.now) {
            let waiter = &mut world.waiters[offer.waiter as usize];
            line.skip(waiter.place);
            waiter.standing = Standing::Lapsed;
        }
        line.head()
    }

    /// Offers the turn to the head of a lane whose limits all say yes, unless an earlier lane
    /// stands in the line of one of them. Returns when the offer ends.
    fn offer(&mut self, lane: u16, head: u32, world: &mut World<'_>) -> u64 {
        let lane = &mut self.lanes[usize::from(lane)];
        let held = |index: &u16| self.limits[usize::from(*index)].held == self.pass;
        if lane.limits.iter().any(held) {
            lane.line().offer = None;
            return NEVER;
        }
        for &index in &lane.limits {
            self.limits[usize::from(index)].held = self.pass;
        }
        let line = lane.line();
        match line.offer {
            Some(offer) if offer.waiter == head => offer.until,
            _ => {
                let until = world.now + OFFER;
                line.offer = Some(Offer {
                    waiter: head,
                    until,
                });
                if world.polled != Some(head) {
                    world.wakes.add(&world.waiters[head as usize].waker);
                }
                until
            }
        }
    }
}

/// How long a turn waits for its owner to be polled, in nanoseconds: 10 ms, the most that one who
/// is not polled delays the others.
const OFFER: u64 = 10_000_000;
