use std::{borrow::Borrow, fmt, sync::Arc, time::Duration};

use super::{
    acquire::Acquire, permit::Permit, settings::Settings, shared::Shared, snapshot::Snapshot,
    turn::Turn,
};
use crate::words::{Call, Limits, Rejected};

/// Keeps every request it is asked about inside one table of limits.
///
/// Cheap to clone: all clones, and all layers made from them, share one state. **Two limiters for
/// one key allow twice the limit: make one, clone it.**
///
/// See the [module](super) for how it decides.
#[derive(Clone)]
pub struct Limiter {
    pub(super) shared: Arc<Shared>,
}

impl Limiter {
    /// A limiter for these limits, for each API key apart.
    pub fn new(limits: Limits) -> Self {
        Self {
            shared: Shared::new(limits),
        }
    }

    /// Refuses at once what could not leave within `wait`, of all requests that come from now on. Default: everyone waits as long as it
    /// takes, within their own deadline.
    #[must_use]
    pub fn with_max_wait(self, wait: Duration) -> Self {
        self.set(|settings| settings.max_wait = Some(wait.into()))
    }

    /// How many may wait at a time; more are refused at once. Default: 100,000, some 15 MB beside
    /// the requests themselves. Whoever finds the service behind not ready waits too.
    #[must_use]
    pub fn with_max_waiting(self, requests: usize) -> Self {
        self.set(|settings| settings.max_waiting = requests)
    }

    /// How many API keys it remembers. Default: 100,000, some 50 MB, and 100 MB more where their tokens
    /// are limited. Full, it forgets those that are no different from new, and then those that only
    /// learned something, the longest idle first. A key for which there is no room is refused.
    /// 0 counts as 1.
    #[must_use]
    pub fn with_max_keys(self, keys: usize) -> Self {
        self.set(|settings| settings.max_keys = keys.max(1))
    }

    /// How many lanes a key has for models; those beyond share one lane for each endpoint.
    /// Default: 64, and over all keys four for each key there may be, some 120 MB.
    #[must_use]
    pub fn with_max_lanes(self, lanes: u16) -> Self {
        // Lanes are counted in 16 bits, and there are more than these.
        self.set(|settings| settings.max_lanes = lanes.min(u16::MAX / 2).into())
    }

    /// How long a response may be silent and keep its [in-flight slot](crate::Limits::in_flight). Then the slot comes
    /// back, and the response goes on: a stream that its server has forgotten must not hold a slot for ever.
    /// Counted while the body is read, from its head and from each piece of it. Default: 10 minutes, as long as
    /// OpenAI's SDKs wait for a piece; `Duration::MAX` for no bound.
    #[must_use]
    pub fn with_max_silence(self, silence: Duration) -> Self {
        self.set(|settings| settings.max_silence = silence)
    }

    /// Whether to follow what the server says and does: lower a lane's pace when it answers 429, raise
    /// it while that goes well and there is more to send, take the limits it names. Default: yes, up to
    /// the numbers that you wrote.
    #[must_use]
    pub fn adaptive(self, learning: bool) -> Self {
        self.set(|settings| settings.learning = learning)
    }

    /// The former name of [`adaptive`](Self::adaptive).
    #[must_use]
    #[deprecated(since = "0.1.0", note = "renamed `adaptive`")]
    pub fn with_learning(self, learning: bool) -> Self {
        self.adaptive(learning)
    }

    /// Waits for a request's turn, of a [`Call`] or a reference to one. The permit says that it may leave, *now*: it is charged when
    /// the future is ready.
    ///
    /// # Errors
    ///
    /// At once, or as soon as it is known, if the request cannot leave in time, if too many wait,
    /// if it can never fit, or if the limiter is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_together::{Limiter, Limits, limiter::Call};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::new(Limits::default());
    /// let request = http::Request::post("https://api.together.ai/v1/embeddings")
    ///     .header("authorization", "Bearer YOUR_KEY")
    ///     .header("content-type", "application/json")
    ///     .body(r#"{"model":"BAAI/bge-base-en-v1.5","input":"hello"}"#)?;
    /// let permit = limiter.acquire(Call::of(&request)).await?;
    /// // Send the request here, read its answer to the end, and then:
    /// drop(permit);
    /// # Ok(())
    /// # }
    /// ```
    pub fn acquire(&self, call: impl Into<Call>) -> Acquire {
        Acquire::new(call.into(), self.turn())
    }

    /// A permit if the request may leave at once. `call` is a [`Call`] or a reference to one.
    ///
    /// # Errors
    ///
    /// If it would have to wait, for as long as [`Rejected::retry_after`] says, or would be
    /// refused. Nothing is charged then.
    pub fn try_acquire(&self, call: impl Borrow<Call>) -> Result<Permit, Rejected> {
        self.turn().at_once(call.borrow())
    }

    /// Puts another table in force, at once and for those who wait too.
    ///
    /// What was sent stays charged: what is owed of the old pace is paid at the new one, from this
    /// moment. A paced quota that becomes [unpaced](crate::Quota::unpaced) counts what it may have sent in
    /// the last window. A request in flight holds its slot in whatever limit its lane is under. Who can no
    /// longer go in time, or never, is refused.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.set_limits(limits);
    }

    /// Refuses everyone who waits, and everyone who comes. What has left goes on.
    pub fn close(&self) {
        self.shared.with(|state, moment| state.close(None, moment));
    }

    /// Closes the limiter as [`close`](Limiter::close) does, and tells each caller to retry after `wait`.
    ///
    /// For a server that limits its own callers and is about to restart: their requests are rejected with 503
    /// and `Retry-After`, and without `x-should-retry: false`.
    pub fn close_with_retry_after(&self, wait: Duration) {
        self.shared
            .with(|state, moment| state.close(Some(wait), moment));
    }

    /// Says that a job has ended, and frees the slot that
    /// [`Permit::hold_for_job`] kept for it. Returns whether there was one.
    pub fn job_ended(&self, job: &str) -> bool {
        self.shared
            .with(|state, moment| state.end_job_anywhere(job, moment))
    }

    /// What it is doing now. Takes a moment for each key: for a page or a log, not for each
    /// request.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.shared)
    }

    /// A layer leaves a request alone.
    pub(crate) fn leave_alone(&self) {
        self.shared.leave_alone();
    }

    #[cfg(all(test, shuttle))]
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn turn(&self) -> Turn {
        Turn::new(Arc::clone(&self.shared))
    }

    fn set(self, change: impl FnOnce(&mut Settings)) -> Self {
        self.shared.set(change);
        self
    }
}

/// Without its state, which can be long: see [`snapshot`](Limiter::snapshot).
impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alarms = self.shared.alarms(|alarms| format!("{alarms:?}"));
        f.debug_struct("Limiter")
            .field("alarms", &format_args!("{alarms}"))
            .finish_non_exhaustive()
    }
}

impl Default for Limiter {
    /// A limiter for [`Limits::default`].
    fn default() -> Self {
        Self::new(Limits::default())
    }
}
