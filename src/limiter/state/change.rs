//! Changes of the limits, and deadlines that pass.

use std::time::Duration;

use super::{IN_USE, State, arrive::retry_after};
use crate::{
    limiter::{KeyIndex, WaiterId, key::World, moment::Moment, rules::Rules},
    words::{Amount, Limits, Reason},
};

impl State {
    /// Puts another table in force.
    pub(crate) fn set_limits(&mut self, limits: Limits, moment: &mut Moment) {
        let new = self.rules.succeed(limits);
        self.metered = new.metered();
        let old: Rules = std::mem::replace(&mut self.rules, new);
        let mut waiting = Vec::new();
        for (index, key) in self.registry.iter_mut() {
            key.rebase(&old, &self.rules, moment.now);
            // A lane that was under no limit may be under one now.
            for lane in &key.lanes {
                self.seen.lane(lane, key.id, &mut moment.mistakes);
            }
            if key.waiting > 0 {
                waiting.push(index);
            }
        }
        self.rebase_jobs(moment.now);
        // Delays by the previous table do not count as lateness.
        for (_, waiter) in &mut self.waiters {
            waiter.ready = moment.now;
        }
        self.registry.list_all(&self.rules);
        for index in waiting {
            self.reject_hopeless(index, moment);
            self.pump(index, None, moment);
        }
    }

    /// Rejects every waiter, and every request that arrives from now on, each with `retry_after`.
    pub(crate) fn close(&mut self, retry_after: Option<Duration>, moment: &mut Moment) {
        self.closed = true;
        self.reopens_in = retry_after;
        self.wake_watchers(moment);
        let all = self.waiters.iter().map(|(id, _)| WaiterId::new(id));
        let all: Vec<_> = all.collect();
        for id in all {
            if !self.waiters[id].is_rejected() {
                self.reject(id, Reason::Closed, moment);
            }
        }
    }

    /// Rejects a waiter, and lets the next move up.
    pub(super) fn reject(&mut self, id: WaiterId, reason: Reason, moment: &mut Moment) {
        let waiter = &self.waiters[id];
        let (index, lane) = (waiter.key, waiter.lane);
        self.deadlines.remove(&(waiter.deadline, id));
        let key = self.registry.get_mut(index).expect(IN_USE);
        let retry_after = match reason {
            Reason::Closed => self.reopens_in,
            Reason::NeverFits => None,
            _ => {
                let tokens = key.tokens(lane, waiter.charge, &self.rules);
                let wait = key.ask(lane, tokens, Amount(0), &self.rules, moment.now);
                wait.and_then(|wait| retry_after(reason, wait, moment.now, &self.settings))
            }
        };
        let mut world = World {
            rules: &self.rules,
            waiters: &mut self.waiters,
            wakes: &mut moment.wakes,
            rejected: &mut self.totals.rejected,
            polled: None,
            now: moment.now,
        };
        key.reject(id, reason, retry_after, &mut world);
        self.pump(index, None, moment);
    }

    /// Rejects waiters of a key that cannot be sent in time any more.
    pub(in crate::limiter) fn reject_hopeless(&mut self, index: KeyIndex, moment: &mut Moment) {
        let key = self.registry.get_mut(index).expect(IN_USE);
        let mut hopeless = Vec::new();
        let (waiters, rules, now) = (&self.waiters, &self.rules, moment.now);
        for lane in key.lane_indices() {
            let Some(queue) = key.lanes[lane].queue.take() else {
                continue;
            };
            // A rejected waiter is no longer before the next one.
            queue.in_order(|id, ahead| {
                let waiter = &waiters[id];
                let tokens = key.tokens(lane, waiter.charge, rules);
                let reason = match key.ask(lane, tokens, Amount(ahead), rules, now) {
                    None => Reason::NeverFits,
                    Some(wait) if wait.at > waiter.deadline => waiter.reason(),
                    Some(_) => return true,
                };
                hopeless.push((id, reason));
                false
            });
            key.lanes[lane].queue = Some(queue);
        }
        for (id, reason) in hopeless {
            // A waiter that never fits may have been rejected already, when the one before it let it move up.
            if !self.waiters[id].is_rejected() {
                self.reject(id, reason, moment);
            }
        }
    }
}
