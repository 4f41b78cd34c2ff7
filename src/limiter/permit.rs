use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{grant::Grant, output::dear, shared::Shared, watch::JobBook};
use crate::words::{Each, Said, Unit, Usage, Weight};

/// Leave to send one request, from [`Limiter::acquire`](super::Limiter::acquire).
///
/// Keep it until the answer's body has ended, then drop it: that gives back its in-flight slot.
/// Its share of the rate is spent.
#[must_use = "dropping it says that the request's answer has ended"]
pub struct Permit {
    shared: Arc<Shared>,
    grant: Grant,
}

impl Permit {
    pub(super) fn new(shared: Arc<Shared>, grant: Grant) -> Self {
        Self { shared, grant }
    }

    /// How long the request was held back.
    pub fn waited(&self) -> Duration {
        self.grant.waited.as_duration()
    }

    /// Says what the request really cost in tokens. The difference to what was charged is charged
    /// or given back, in the quotas that were charged; a second call changes nothing more than the
    /// difference to the first. What comes back may be sent as far as no window exceeds its quota by it.
    /// Nothing comes back once another table is in force. More than ten windows' worth is not believed.
    pub fn settle(&mut self, tokens: u64) {
        let tokens = Weight(tokens);
        if tokens != self.grant.tokens {
            self.shared
                .with(|state, moment| state.settle(&mut self.grant, tokens, moment));
        }
    }

    /// Says what the answer says that the request cost, once.
    pub(crate) fn used(&mut self, usage: Usage) {
        let grant = &mut self.grant;
        // As it was charged: what somebody gave counts as it is.
        let tokens = if grant.answers > 0 {
            dear(usage.total)
        } else {
            usage.total
        };
        self.shared.with(|state, moment| {
            if let Some(output) = usage.output {
                state.learn_output(grant, output);
            }
            state.settle(grant, Weight(tokens), moment);
        });
        self.grant.answers = 0;
    }

    /// Whether what the answer says that the request cost is worth reading: a quota counts it.
    pub(crate) fn counts_tokens(&self) -> bool {
        self.grant.metered
    }

    /// Keeps the slot of the job that the request created until
    /// [`Limiter::job_ended`](super::Limiter::job_ended) names it again, long after this permit is
    /// dropped. The layer calls it for a fine-tune or a batch that an answer says was created. Without a
    /// limit to jobs nothing happens.
    pub fn hold_for_job(&mut self, job: &str) {
        self.shared
            .with(|state, moment| state.start_job(&mut self.grant, job, moment));
    }

    /// Says that a job has ended, of which an answer to this key told.
    pub(crate) fn job_ended(&self, job: &str) {
        let key = self.grant.key.index;
        self.shared
            .with(|state, moment| state.end_job(key, job, moment));
    }

    /// Whether jobs of this key hold slots.
    pub(crate) fn knows_jobs(&self) -> bool {
        let key = self.grant.key;
        self.shared
            .with(|state, _| state.jobs.of(key).next().is_some())
    }

    /// Whether it holds the slot of a job, to be.
    pub(crate) fn holds_job_slot(&self) -> bool {
        self.grant.slots[Grant::JOB].is_some()
    }

    /// Says that the server refused the job that was to be created, since it runs too many. The next
    /// leaves when one of those has ended.
    pub(crate) fn crowded(&self) {
        self.shared
            .with(|state, moment| state.crowded(&self.grant, moment));
    }

    /// The jobs of its key; `None` if the key has been idle for so long that it was forgotten.
    pub(crate) fn job_book(&self) -> Option<JobBook> {
        let key = self.grant.key;
        let id = self
            .shared
            .with(|state, _| state.registry.of(key).map(|key| key.id))?;
        Some(JobBook::new(Arc::clone(&self.shared), key, id))
    }

    /// Says that the server answered 429, and for how long it asked to wait. Nothing of the lane
    /// leaves until then, and what leaves after it does so one by one: at the lower pace that the lane
    /// has learned, or, where too little is known for that or the pause was too short, slowly for 8 s.
    /// Returns that instant; `None` if the key has been idle for so long that the limiter forgot it.
    ///
    /// `None` pauses the lane for 1 s, doubling to 30 s while the first requests after each pause
    /// are refused again. A wait that the server names is kept to; but from the second pause in a row
    /// that was too short, it is 2 s at least, doubling to 15 s. Of several requests that were under way the first refusal counts; those
    /// after it can only lengthen the pause. More than an hour is not believed.
    ///
    /// Send the request again [as such](super::Call::again), and it goes in front of its lane.
    pub fn throttled(&self, wait: Option<Duration>) -> Option<Instant> {
        self.refused(wait, Unit::Requests)
    }

    /// The same, and of what the server says that there were too many.
    pub(crate) fn refused(&self, wait: Option<Duration>, of: Unit) -> Option<Instant> {
        let wait = wait.map(Into::into);
        let shared = &self.shared;
        let until = shared.with(|state, moment| state.throttled(&self.grant, wait, of, moment));
        until.and_then(|until| shared.clock.instant(until))
    }

    /// Says that the server is overloaded (503) and for how long it asked to wait: the lane is
    /// paused as by [`throttled`](Permit::throttled), but it is not this client's haste that did it.
    /// Returns until when.
    pub fn overloaded(&self, wait: Duration) -> Option<Instant> {
        let shared = &self.shared;
        let until = shared.with(|state, moment| state.overloaded(&self.grant, wait.into(), moment));
        until.and_then(|until| shared.clock.instant(until))
    }

    /// Says how many requests a second the server allows, as it named it in its answer. The lane keeps
    /// to that from now on, but for a number that you wrote and that is lower. Of an answer to a
    /// request that left before one whose answer was told already nothing is taken.
    pub fn told(&self, per_second: f64) {
        let mut said = Each::<Said>::default();
        said.requests.limit = Some(per_second);
        self.said(said);
    }

    /// The same of all that the server says of its limits.
    pub(crate) fn said(&self, said: Each<Said>) {
        self.shared
            .with(|state, moment| state.told(&self.grant, said, moment));
    }

    /// Whether anything is given back when it is dropped.
    pub(crate) fn holds_slot(&self) -> bool {
        self.grant.slots != [None; 2]
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.holds_slot() {
            self.shared
                .with(|state, moment| state.release(&self.grant, moment));
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("waited", &self.waited())
            .field("holds_slot", &self.holds_slot())
            .finish_non_exhaustive()
    }
}
