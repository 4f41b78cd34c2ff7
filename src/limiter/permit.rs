use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    grant::{Grant, HeldSlots},
    jobs::JobBook,
    shared::Shared,
};
use crate::words::{Each, Report, Tokens, Unit};

/// Permission to send one request, from [`Limiter::acquire`](super::Limiter::acquire).
///
/// Keep it until the response's body has ended, then drop it. That gives back its in-flight slot. Its share
/// of the rate stays charged.
#[must_use = "dropping it says that the response has ended"]
pub struct Permit {
    /// `None` once its slots are given back.
    shared: Option<Arc<Shared>>,
    grant: Grant,
}

/// The slots of a permit. They are given back when it is dropped.
pub(crate) struct SlotGuard {
    shared: Arc<Shared>,
    held: HeldSlots,
}

impl Permit {
    pub(super) fn new(shared: Arc<Shared>, grant: Grant) -> Self {
        Self {
            shared: Some(shared),
            grant,
        }
    }

    /// The time that the request waited.
    pub fn waited(&self) -> Duration {
        self.grant.waited.as_duration()
    }

    /// Takes everything that a response states: a 429 or an overload, the server's limits, the cost of the
    /// request, and the news of jobs. All of it takes effect at once.
    ///
    /// Returns the end of the lane's pause, if the response asked for one. A request marked [as a
    /// retry](super::Call::as_retry) goes in front of its lane then. Returns `None` if only this request has to wait,
    /// since its 429 was [alone among many requests](super#what-it-learns), or if the key has been idle for so long that
    /// the limiter forgot it.
    ///
    /// Report each response once, when its body has been read.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use http::{HeaderMap, StatusCode};
    /// use tower_together::{Endpoint, Limiter, extension::ApiKey, limiter::{Call, Report}};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::default();
    /// let call = Call::new(Endpoint::Embeddings).with_key(ApiKey::new("YOUR_KEY"));
    /// let mut permit = limiter.acquire(call).await?;
    /// // Send the request and read the response. Here it is a 429 that asks to wait for 5 s.
    /// let (status, body) = (StatusCode::TOO_MANY_REQUESTS, b"");
    /// let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, "5".parse()?)]);
    /// let now = SystemTime::now();
    /// let report = Report::read(Endpoint::Embeddings, status, &headers, body, now);
    /// assert!(permit.report(&report).is_some());
    /// assert!(limiter.snapshot().lanes[0].paused.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn report(&mut self, report: &Report) -> Option<Instant> {
        let shared = self.shared.as_deref().expect(IN_USE);
        take(shared, &mut self.grant, report)
    }

    /// Reports the real cost of the request in tokens. The difference to the charge is charged or given back,
    /// in the quotas that were charged. After a second call only its difference to the first is settled.
    /// Tokens that are given back may be sent as far as no window exceeds its quota. Nothing is given back
    /// once another table is in force. A cost is believed up to ten windows' worth.
    pub fn settle(&mut self, tokens: u64) {
        self.report(&Report::cost(Tokens::Exactly(tokens)));
    }

    /// Reports that the request created a job, which keeps the permit's slot after this permit is dropped,
    /// until [`Limiter::job_ended`](super::Limiter::job_ended) names the job again. The layer reports
    /// fine-tunes and batches whose responses state that they were created. Has no effect without a limit on
    /// jobs.
    pub fn hold_for_job(&mut self, job: &str) {
        self.report(&Report::created(job));
    }

    /// Reports a 429, and the wait that the server asked for. No request of the lane is sent until then, unless the 429
    /// was [alone among many requests](super#what-it-learns). After it requests are sent one by one: at the lower pace
    /// that the lane has learned, or slowly for 8 s if too little is known for that or the pause was too short. Returns
    /// the end of the pause as [`report`](Permit::report) does.
    ///
    /// `None` pauses the lane for 1 s, doubling to 30 s while the first requests after each pause are
    /// rejected again. A wait that the server names is kept to. From the second pause in a row that was too
    /// short, it is at least 2 s, doubling to 15 s. If several requests were in flight, the first rejection
    /// counts, and later ones can only lengthen the pause. A lane is paused for an hour at most. A request
    /// whose response asked to wait longer should be retried no earlier than that.
    pub fn throttled(&self, wait: Option<Duration>) -> Option<Instant> {
        self.report_only(&Report::throttled(wait, Unit::Requests))
    }

    /// Reports that the server is overloaded (503), and the wait that it asked for. The lane is paused as by
    /// [`throttled`](Permit::throttled), but its pace is not to blame. Returns the end of the pause.
    pub fn overloaded(&self, wait: Duration) -> Option<Instant> {
        self.report_only(&Report::overloaded(wait))
    }

    /// Reports that the request failed without a response. A lane learns no higher pace while half of its requests
    /// fail, nor while two thirds have no response: a permit that is reported or dropped says that there was one.
    pub fn failed(&self) {
        self.report_only(&Report::failed());
    }

    /// Reports how many requests a second the server allows, as it named it in its response. The lane keeps
    /// to that from now on, unless a number that you wrote is lower. Ignored if the response to a later
    /// request has already been reported.
    pub fn told(&self, per_second: f64) {
        self.report_only(&Report::limit(Unit::Requests, per_second));
    }

    /// Reports a 429 without a wait when the returned closure is called. The closure holds no slot, and does
    /// not keep the limiter alive.
    pub(crate) fn to_be_throttled(&self) -> impl FnOnce() + use<> {
        let (shared, mut grant) = (Arc::downgrade(self.shared()), self.grant.clone());
        move || {
            if let Some(shared) = shared.upgrade() {
                take(
                    &shared,
                    &mut grant,
                    &Report::throttled(None, Unit::Requests),
                );
            }
        }
    }

    /// Takes a report without tokens and jobs, which leaves the grant as it is.
    fn report_only(&self, report: &Report) -> Option<Instant> {
        take(self.shared(), &mut self.grant.clone(), report)
    }

    /// Takes out the rates whose witness the request is. A permit that is dropped without them reports no response.
    pub(crate) fn take_witness(&mut self) -> Each<bool> {
        std::mem::take(&mut self.grant.witness)
    }

    /// The request had a response. The next report tells the limiter, or the permit when it is dropped.
    pub(crate) fn has_response(&mut self, witness: Each<bool>) {
        self.grant.witness = witness;
    }

    /// Whether a response to the request is worth a report.
    pub(crate) fn is_witness(&self) -> bool {
        self.grant.witness != Each::default()
    }

    /// Whether lanes learn from the limits that a response names.
    pub(crate) fn learns(&self) -> bool {
        self.shared().learns()
    }

    /// Whether the cost that the response states is worth reading, since a quota counts it.
    pub(crate) fn counts_tokens(&self) -> bool {
        self.grant.metered
    }

    /// Whether jobs hold slots, so that it is worth reading which have ended.
    pub(crate) fn knows_jobs(&self) -> bool {
        self.grant.jobs
    }

    /// Whether it holds a slot for a job that is to be created.
    pub(crate) fn holds_job_slot(&self) -> bool {
        self.grant.holds_job_slot()
    }

    /// The jobs of its key. `None` if the key has been idle for so long that it was forgotten.
    pub(crate) fn job_book(&self) -> Option<JobBook> {
        let key = self.grant.key;
        let shared = self.shared();
        let id = shared.with(|state, _| state.registry.of(key).map(|key| key.id))?;
        Some(JobBook::new(Arc::clone(shared), key, id))
    }

    /// Whether its request is the first that a layer marks for the limiter.
    pub(crate) fn marks(&self) -> bool {
        self.shared().marks()
    }

    /// Whether dropping it gives anything back.
    pub(crate) fn holds_slot(&self) -> bool {
        self.grant.slots().is_some()
    }

    /// How long the response may be silent and keep its slots; `None` if it holds none.
    pub(crate) fn max_silence(&self) -> Option<Duration> {
        let max = self.shared().max_silence();
        self.holds_slot().then_some(max)
    }

    /// Takes out the slots, if it holds any. The permit reports nothing more.
    pub(crate) fn leave_slots(&mut self) -> Option<SlotGuard> {
        let shared = self.shared.take();
        self.give_to(shared)
    }

    /// Takes out the slots, if it holds any. The response can still be reported.
    pub(crate) fn take_slots(&mut self) -> Option<SlotGuard> {
        let shared = self.shared.clone();
        self.give_to(shared)
    }

    fn give_to(&mut self, shared: Option<Arc<Shared>>) -> Option<SlotGuard> {
        let held = self.grant.slots()?;
        self.grant.slots = [None; 2];
        let shared = shared?;
        Some(SlotGuard { shared, held })
    }

    fn shared(&self) -> &Arc<Shared> {
        self.shared.as_ref().expect(IN_USE)
    }
}

/// Takes a report under the lock, unless nothing in it concerns the request.
fn take(shared: &Shared, grant: &mut Grant, report: &Report) -> Option<Instant> {
    if !concerns(shared, grant, report) {
        return None;
    }
    let until = shared.with(|state, moment| state.report(grant, report, moment))?;
    shared.clock.instant(until)
}

fn concerns(shared: &Shared, grant: &Grant, report: &Report) -> bool {
    let jobs = &report.jobs;
    let charged = Tokens::Exactly(grant.tokens.0);
    report.not_now.is_some()
        || report.tokens.is_some_and(|tokens| tokens != charged)
        || shared.learns() && (report.failed || report.limits != Each::default())
        || grant.holds_job_slot() && (jobs.rejected || jobs.unnamed || jobs.created.is_some())
        || !jobs.ended.is_empty()
        || grant.witness != Each::default()
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.shared.is_some() && self.is_witness() {
            self.report(&Report::default());
        }
        let shared = self.shared.take();
        self.give_to(shared);
    }
}

impl SlotGuard {
    /// How long the response may be silent and keep the slots.
    pub(crate) fn max_silence(&self) -> Duration {
        self.shared.max_silence()
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        self.shared
            .with(|state, moment| state.release(self.held, moment));
    }
}

const IN_USE: &str = "a permit keeps its limiter until its slots are taken";

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("waited", &self.waited())
            .field("holds_slot", &self.holds_slot())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;
    use crate::{
        limiter::Limiter,
        words::{Call, Endpoint, Limits},
    };

    #[test]
    fn a_report_that_cannot_concern_its_request_takes_no_lock() {
        let learned = Report::limit(Unit::Requests, 2.0);
        let mut crowded = Report::default();
        crowded.jobs.rejected = true;
        for (learning, report) in [
            (true, Report::default()),
            (true, Report::cost(Tokens::Exactly(0))),
            (true, Report::created("ft-1")),
            (true, crowded),
            (false, learned),
        ] {
            let limiter = Limiter::new(Limits::none()).adaptive(learning);
            let call = Call::new(Endpoint::FineTuneCreate);
            let mut permit = limiter.try_acquire(&call).unwrap();
            let (done, ended) = mpsc::channel();
            limiter.shared.with(|_, _| {
                thread::spawn(move || {
                    permit.report(&report);
                    let _ = done.send(permit);
                });
                drop(ended.recv_timeout(Duration::from_secs(10)).unwrap());
            });
        }
    }
}
