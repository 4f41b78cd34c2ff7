//! Reports of responses, and their end.

use super::State;
use crate::{
    limiter::{
        KeyIndex,
        grant::{Grant, HeldSlots},
        key::Key,
        moment::Moment,
        rules::bit,
    },
    observe::Change,
    words::{Amount, Instant, NotNow, Report, Unit, Weight},
};

impl State {
    /// Takes everything that a response states. Returns the end of its lane's pause, if the response asked
    /// for one, and `None` if its key is forgotten.
    pub(crate) fn report(
        &mut self,
        grant: &mut Grant,
        report: &Report,
        moment: &mut Moment,
    ) -> Option<Instant> {
        let (index, lane, now) = (grant.key.index, grant.lane, moment.now);
        let learning = self.settings.learning;
        // A pause is of no use to a job that waits for another one to end.
        let crowded = grant.slots[Grant::JOB].filter(|_| report.jobs.rejected);
        let not_now = report.not_now.filter(|_| crowded.is_none());
        let throttled = match not_now {
            Some(NotNow::Throttled { of, .. }) => Some(of),
            _ => None,
        };
        self.totals.throttled += u64::from(throttled.is_some());
        let key = self.registry.of(grant.key)?;
        // This comes first: a rejected request has cost nothing, and is no part of what the server took.
        if let Some(tokens) = report.tokens {
            key.take_cost(grant, tokens, &self.rules, now);
        }
        // A longer wait in a lane matters only to waiters with a deadline.
        let hurried = !self.deadlines.is_empty();
        let rules = &self.rules;
        let earliest = |key: &mut Key| {
            hurried.then(|| Some(key.ask(lane, Weight(1), Amount(0), rules, now)?.at))
        };
        let before = earliest(key);
        let speaks_of = |unit| throttled == Some(unit) || report.limits[unit] != Default::default();
        let units = Unit::BOTH.into_iter();
        let learned = units.filter(|unit| learning && speaks_of(*unit));
        for unit in learned.clone() {
            key.rate(lane, unit, &self.rules, now);
            if unit == Unit::Tokens {
                self.metered |= bit(key.lanes[lane].endpoint);
            }
        }
        let paused = key.lanes[lane].pause(now);
        let until = not_now.and_then(|not_now| key.lanes[lane].not_now(grant, not_now, now));
        for unit in learned {
            let mut limit = report.limits[unit];
            // The pause replaces the remainder that the server named.
            limit.remaining = limit.remaining.filter(|_| throttled.is_none());
            key.lanes[lane].named(grant, unit, limit, now);
        }
        let witness = std::mem::take(&mut grant.witness);
        match report.failed {
            true => key.lanes[lane].failed(),
            false => key.lanes[lane].responded(witness),
        }
        if let Some(until) = until.filter(|until| paused.is_none() && *until > now) {
            let pause = Change::Paused((until - now).as_duration());
            key.lanes[lane].note(pause, &mut moment.lanes);
        }
        key.lanes[lane].note_paces(&mut moment.lanes);
        if let Some(rule) = crowded {
            key.lanes[lane].note(Change::TooManyJobs, &mut moment.lanes);
            key.slots(&self.rules, rule, |slots| slots.crowded(now));
        }
        let later = earliest(key) > before;
        self.take_jobs(grant, &report.jobs, now);
        if later {
            self.reject_hopeless(index, moment);
        }
        self.changed(index, moment);
        until
    }

    /// Gives back the slots of a permit.
    pub(crate) fn release(&mut self, held: HeldSlots, moment: &mut Moment) {
        if let Some(key) = self.registry.of(held.key) {
            key.release(&self.rules, held, moment.now);
            self.changed(held.key.index, moment);
        }
    }

    /// Something of a key changed. Its waiters may be sent sooner, and the key may be forgettable sooner.
    pub(crate) fn changed(&mut self, index: KeyIndex, moment: &mut Moment) {
        self.registry.note_unused(index, &self.rules);
        if self.registry.get(index).is_some_and(|key| !key.is_quiet()) {
            self.pump(index, None, moment);
        }
    }
}
