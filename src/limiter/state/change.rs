//! The limits change, or time is up.

use std::time::Duration;

use super::{IN_USE, State, arrive::retry_after};
use crate::{
    limiter::{KeyIndex, WaiterId, key::World, moment::Moment, rules::Rules, waiter::WaiterState},
    words::{Count, Instant, Limits, Reason},
};

impl State {
    /// Another table, from now on.
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
        // Nor is anybody late by what the table before asked for.
        for (_, waiter) in &mut self.waiters {
            waiter.ready = moment.now;
        }
        self.registry.look_again(Instant::START);
        for index in waiting {
            self.refuse_hopeless(index, moment);
            self.pump(index, None, moment);
        }
    }

    /// Rejects every waiter, and every request that arrives from now on. `retry_after` is told to them all.
    pub(crate) fn close(&mut self, retry_after: Option<Duration>, moment: &mut Moment) {
        self.closed = true;
        self.reopens_in = retry_after;
        self.wake_watchers(moment);
        let all = self.waiters.iter().map(|(id, _)| WaiterId::new(id));
        let all: Vec<_> = all.collect();
        for id in all {
            if !matches!(self.waiters[id].standing, WaiterState::Rejected(_)) {
                self.refuse(id, Reason::Closed, moment);
            }
        }
    }

    /// Refuses one who waits, and lets the next move up.
    pub(super) fn refuse(&mut self, id: WaiterId, reason: Reason, moment: &mut Moment) {
        let waiter = &self.waiters[id];
        let (index, lane) = (waiter.key, waiter.lane);
        self.deadlines.remove(&(waiter.deadline, id));
        let key = self.registry.get_mut(index).expect(IN_USE);
        let retry_after = match reason {
            Reason::Closed => self.reopens_in,
            Reason::NeverFits => None,
            _ => {
                let tokens = key.tokens(lane, waiter.charge, &self.rules);
                let wait = key.ask(lane, tokens, Count(0), &self.rules, moment.now);
                wait.and_then(|wait| retry_after(reason, wait, moment.now, &self.settings))
            }
        };
        let mut world = World {
            rules: &self.rules,
            waiters: &mut self.waiters,
            wakes: &mut moment.wakes,
            refused: &mut self.totals.refused,
            polled: None,
            now: moment.now,
        };
        key.refuse(id, reason, retry_after, &mut world);
        self.pump(index, None, moment);
    }

    /// Refuses those of a key who can no longer go in time.
    pub(super) fn refuse_hopeless(&mut self, index: KeyIndex, moment: &mut Moment) {
        let key = self.registry.get_mut(index).expect(IN_USE);
        let mut hopeless = Vec::new();
        let (waiters, rules, now) = (&self.waiters, &self.rules, moment.now);
        for lane in key.lane_indices() {
            let Some(line) = key.lanes[lane].line.take() else {
                continue;
            };
            // Who is refused is not before the next any more.
            line.in_order(|id, ahead| {
                let waiter = &waiters[id];
                let tokens = key.tokens(lane, waiter.charge, rules);
                let reason = match key.ask(lane, tokens, Count(ahead), rules, now) {
                    None => Reason::NeverFits,
                    Some(wait) if wait.at > waiter.deadline => waiter.reason(),
                    Some(_) => return true,
                };
                hopeless.push((id, reason));
                false
            });
            key.lanes[lane].line = Some(line);
        }
        for (id, reason) in hopeless {
            // The one before it let it move up, and it never fits.
            if !matches!(self.waiters[id].standing, WaiterState::Rejected(_)) {
                self.refuse(id, reason, moment);
            }
        }
    }
}
