//! Jobs begin and end, long after the answers to the requests that made them.

use std::{sync::Arc, task::Waker};

use super::State;
use crate::{
    limiter::{KeyIndex, KeyRef, WaiterId, grant::Grant, jobs::Held, moment::Moment},
    words::{Call, Endpoint, Job, JobKind, KeyId},
};

impl State {
    /// Keeps a permit's job slot until the job of this id ends.
    pub(in crate::limiter) fn start_job(
        &mut self,
        grant: &mut Grant,
        id: &str,
        moment: &mut Moment<'_>,
    ) {
        let (Some(rule), Some(key)) = (grant.slots[Grant::JOB], self.registry.of(grant.key)) else {
            return;
        };
        let creation = key.lanes[grant.lane].endpoint;
        key.slots(&self.rules, rule, |slots| slots.accepted());
        if !self.has_room() {
            return;
        }
        // One job, one slot: named again, it gives back the slot it had.
        self.end_job(grant.key.index, id, moment);
        grant.slots[Grant::JOB] = None;
        self.jobs.insert(Held {
            id: id.into(),
            creation,
            key: grant.key,
            rule,
        });
    }

    /// Whether a job of this id held a slot of a key, which is given back.
    pub(in crate::limiter) fn end_job(
        &mut self,
        key: KeyIndex,
        id: &str,
        moment: &mut Moment<'_>,
    ) -> bool {
        let Some(held) = self.jobs.remove(key, id) else {
            return false;
        };
        if let Some(key) = self.registry.of(held.key) {
            key.free(&self.rules, held.rule, moment.now);
            self.freed(held.key.index);
            self.pump(held.key.index, None, moment);
        }
        true
    }

    /// The same, whichever key's it is.
    pub(in crate::limiter) fn end_job_anywhere(
        &mut self,
        id: &str,
        moment: &mut Moment<'_>,
    ) -> bool {
        let keys = self.jobs.keys_of(id);
        let ended = keys.iter().filter(|key| self.end_job(**key, id, moment));
        ended.count() > 0
    }

    /// The server refused a job, since it has too many.
    pub(in crate::limiter) fn crowded(&mut self, grant: &Grant, moment: &mut Moment<'_>) {
        let rule = grant.slots[Grant::JOB];
        if let (Some(rule), Some(key)) = (rule, self.registry.of(grant.key)) {
            key.slots(&self.rules, rule, |slots| slots.crowded(moment.now));
            self.pump(grant.key.index, None, moment);
        }
    }

    /// A job that the server runs for a key, of which nothing was known, takes a slot.
    pub(in crate::limiter) fn adopt_job(
        &mut self,
        key: KeyRef,
        kind: JobKind,
        job: &Job,
        moment: &mut Moment<'_>,
    ) {
        if self.jobs.has(key.index, &job.id) || !self.has_room() {
            return;
        }
        let Some(of) = self.registry.of(key) else {
            return;
        };
        let mut call = Call::new(kind.creation());
        (call.key, call.model) = (of.id, job.model.clone());
        let lane = self
            .registry
            .lane(key.index, &call, moment.settings, &self.rules);
        let Some(of) = self.registry.of(key) else {
            return;
        };
        let Some(rule) = of.lanes[lane].slots[Grant::JOB] else {
            return;
        };
        of.slots(&self.rules, rule, |slots| slots.adopt());
        self.jobs.insert(Held {
            id: Arc::clone(&job.id),
            creation: call.endpoint,
            key,
            rule,
        });
        self.pump(key.index, None, moment);
    }

    fn has_room(&mut self) -> bool {
        let registry = &self.registry;
        self.jobs
            .has_room(|held| registry.living(held.key).is_some())
    }

    /// The kinds of jobs that the table limits.
    pub(in crate::limiter) fn limits_jobs(&self, kind: JobKind) -> bool {
        self.rules.limits_jobs(kind.creation())
    }

    /// Whether somebody waits for a job of this class to end: of one key, or of any.
    pub(in crate::limiter) fn awaits_job(&self, key: Option<KeyId>, creation: Endpoint) -> bool {
        match key {
            Some(id) => {
                let key = self.registry.by_id(id);
                key.is_some_and(|key| key.awaits_job(creation))
            }
            None => self.registry.iter().any(|key| key.awaits_job(creation)),
        }
    }

    /// Whether one who waits is in a lane whose first waits for a job to end.
    pub(in crate::limiter) fn waits_for_job(&self, id: WaiterId) -> bool {
        let waiter = &self.waiters[id];
        let key = self.registry.get(waiter.key);
        key.is_some_and(|key| key.lanes[waiter.lane].awaits_job)
    }

    /// Wakes a watcher when somebody begins to wait for a job to end, or the limiter is closed.
    pub(in crate::limiter) fn watch_jobs(
        &mut self,
        watcher: usize,
        waker: &Waker,
        moment: &mut Moment<'_>,
    ) {
        if let Some(old) = self.jobs.watchers[watcher].replace(waker.clone()) {
            moment.wakes.bury(old);
        }
    }

    /// Somebody begins to wait for a job to end, or the limiter is closed.
    pub(super) fn wake_watchers(&mut self, moment: &mut Moment<'_>) {
        for (_, watcher) in &mut self.jobs.watchers {
            if let Some(waker) = watcher.take() {
                moment.wakes.add(&waker);
                moment.wakes.bury(waker);
            }
        }
    }

    /// Another table is in force, in which the jobs that run hold slots too.
    pub(super) fn rebase_jobs(&mut self) {
        let rules = &self.rules;
        for held in self.jobs.iter_mut() {
            if rules.index(held.rule).is_some() {
                continue;
            }
            let Some(key) = self.registry.of(held.key) else {
                continue;
            };
            // Of a line that is new, the first lane under it tells which that is.
            let lanes = key
                .lanes
                .iter()
                .filter(|lane| lane.endpoint == held.creation);
            let mut ids = lanes.filter_map(|lane| lane.slots[Grant::JOB]);
            if let Some(rule) = ids.next() {
                held.rule = rule;
                key.slots(rules, rule, |slots| slots.adopt());
            }
        }
    }
}
