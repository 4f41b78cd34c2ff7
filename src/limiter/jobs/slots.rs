//! The begin and the end of jobs, long after the responses to the requests that created them.

use std::{sync::Arc, task::Waker};

use super::JobSlot;
use crate::{
    limiter::{KeyIndex, KeyRef, grant::Grant, lane::Lane, moment::Moment, state::State},
    words::{Call, Endpoint, Instant, Job, JobKind, JobNews, KeyId},
};

impl State {
    /// Takes the news of its key's jobs from a response.
    pub(crate) fn take_jobs(&mut self, grant: &mut Grant, news: &JobNews, now: Instant) {
        grant.unnamed |= news.unnamed;
        if let Some(id) = &news.created {
            self.start_job(grant, id, now);
        }
        for id in &news.ended {
            self.end_job(grant.key.index, id, now);
        }
    }

    /// Keeps a permit's job slot until the job of this id ends.
    fn start_job(&mut self, grant: &mut Grant, id: &Arc<str>, now: Instant) {
        let (Some(rule), Some(key)) = (grant.slots[Grant::JOB], self.registry.of(grant.key)) else {
            return;
        };
        let creation = key.lanes[grant.lane].endpoint;
        let rule = key.job_rule(&self.rules, grant.lane, rule, now);
        grant.slots[Grant::JOB] = Some(rule);
        key.slots(&self.rules, rule, |slots| slots.accepted(now));
        if !self.has_room() {
            return;
        }
        // One job has one slot. A job that is named again gives back the slot it had.
        self.end_job(grant.key.index, id, now);
        grant.slots[Grant::JOB] = None;
        self.jobs.insert(JobSlot {
            id: Arc::clone(id),
            creation,
            key: grant.key,
            rule,
        });
    }

    /// Ends a job of a key, and gives back its slot. Returns whether it held one.
    fn end_job(&mut self, key: KeyIndex, id: &str, now: Instant) -> bool {
        let Some(held) = self.jobs.remove(key, id) else {
            return false;
        };
        if let Some(key) = self.registry.of(held.key) {
            key.give_back(&self.rules, held.rule, now);
        }
        true
    }

    /// Ends a job under every key that has it. Returns whether it held a slot.
    pub(crate) fn end_job_anywhere(&mut self, id: &str, moment: &mut Moment) -> bool {
        let keys = self.jobs.keys_of(id);
        let ended = keys.into_iter().filter(|key| {
            let ended = self.end_job(*key, id, moment.now);
            self.changed(*key, moment);
            ended
        });
        ended.count() > 0
    }

    /// Takes a slot for a job that the server runs for a key and that was not known.
    pub(crate) fn adopt_job(&mut self, key: KeyRef, kind: JobKind, job: &Job, moment: &mut Moment) {
        if self.jobs.has(key.index, &job.id) || !self.has_room() {
            return;
        }
        let Some(of) = self.registry.of(key) else {
            return;
        };
        let mut call = Call::new(kind.creation());
        (call.key, call.model) = (of.id, job.model.clone());
        let (lane, _) = self
            .registry
            .lane(key.index, &call, &self.settings, &self.rules);
        let Some(of) = self.registry.of(key) else {
            return;
        };
        let Some(rule) = of.lanes[lane].slots[Grant::JOB] else {
            return;
        };
        of.slots(&self.rules, rule, |slots| slots.adopt(moment.now));
        self.jobs.insert(JobSlot {
            id: Arc::clone(&job.id),
            creation: call.endpoint,
            key,
            rule,
        });
        self.changed(key.index, moment);
    }

    /// The server has listed the running jobs of a key that were created by an instant.
    pub(crate) fn listed_jobs(
        &mut self,
        key: KeyRef,
        kind: JobKind,
        until: Instant,
        moment: &mut Moment,
    ) {
        if let Some(of) = self.registry.of(key) {
            of.listed_jobs(&self.rules, kind.creation(), until, moment.now);
            self.changed(key.index, moment);
        }
    }

    fn has_room(&mut self) -> bool {
        let registry = &self.registry;
        self.jobs
            .has_room(|held| registry.living(held.key).is_some())
    }

    /// Whether a request waits for a job of this class to end, under one key or under any.
    pub(crate) fn awaits_job(&self, key: Option<KeyId>, creation: Endpoint) -> bool {
        match key {
            Some(id) => {
                let key = self.registry.by_id(id);
                key.is_some_and(|key| key.awaits_job(creation))
            }
            None => self.registry.iter().any(|key| key.awaits_job(creation)),
        }
    }

    /// Wakes `waker` when a request begins to wait for a job to end, or when the limiter is closed.
    pub(crate) fn watch_jobs(&mut self, watcher: usize, waker: &Waker, moment: &mut Moment) {
        if let Some(old) = self.jobs.watchers[watcher].replace(waker.clone()) {
            moment.wakes.discard(old);
        }
    }

    /// Wakes the watchers: a request begins to wait for a job to end, or the limiter is closed.
    pub(crate) fn wake_watchers(&mut self, moment: &mut Moment) {
        for (_, watcher) in &mut self.jobs.watchers {
            if let Some(waker) = watcher.take() {
                moment.wakes.add(&waker);
                moment.wakes.discard(waker);
            }
        }
    }

    /// Takes slots of the table now in force for the jobs that run.
    pub(crate) fn rebase_jobs(&mut self, now: Instant) {
        let rules = &self.rules;
        let lost = |held: &&mut JobSlot| rules.index(held.rule).is_none();
        for held in self.jobs.iter_mut().filter(lost) {
            let Some(key) = self.registry.of(held.key) else {
                continue;
            };
            // The first lane under a new rule of the table tells which rule that is.
            let creates = |lane: &&Lane| lane.endpoint == held.creation;
            let mut lanes = key.lanes.iter().filter(creates);
            if let Some(rule) = lanes.find_map(|lane| lane.slots[Grant::JOB]) {
                held.rule = rule;
                key.slots(rules, rule, |slots| slots.adopt(now));
            }
        }
    }
}
