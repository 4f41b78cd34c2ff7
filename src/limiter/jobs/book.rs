use std::{fmt, sync::Arc};

use crate::{
    limiter::{KeyRef, shared::Shared},
    words::{Instant, Job, JobKind, KeyId},
};

/// The jobs of one key, as the permit of a response knows them.
#[derive(Clone)]
pub(crate) struct JobBook {
    pub(super) shared: Arc<Shared>,
    key: KeyRef,
    pub(super) id: KeyId,
}

impl JobBook {
    pub(in crate::limiter) fn new(shared: Arc<Shared>, key: KeyRef, id: KeyId) -> Self {
        Self { shared, key, id }
    }

    /// Takes a slot for a job that the server runs, unless it has one.
    pub(crate) fn adopt(&self, kind: JobKind, job: &Job) {
        let shared = &self.shared;
        shared.with(|state, moment| state.adopt_job(self.key, kind, job, moment));
    }

    /// The server has listed the running jobs that were created by an instant. Each has a slot, so the slots
    /// that were kept for jobs without a name are given back.
    pub(crate) fn listed(&self, kind: JobKind, until: Instant) {
        let shared = &self.shared;
        shared.with(|state, moment| state.listed_jobs(self.key, kind, until, moment));
    }

    /// The ids of the jobs that hold slots.
    pub(crate) fn held(&self, kind: JobKind) -> Vec<Arc<str>> {
        self.shared.with(|state, _| {
            let held = state.jobs.of(self.key);
            let held = held.filter(|held| held.creation == kind.creation());
            held.map(|held| Arc::clone(&held.id)).collect()
        })
    }
}

impl fmt::Debug for JobBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobBook").finish_non_exhaustive()
    }
}
