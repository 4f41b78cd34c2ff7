use std::{borrow::Borrow, fmt, sync::Arc, time::Duration};

use super::{
    acquire::Acquire, permit::Permit, settings::Settings, shared::Shared, snapshot::Snapshot,
    turn::Turn,
};
use crate::words::{Call, Limits, Rejected};

/// Keeps every request within one table of limits.
///
/// Cheap to clone: all clones, and all layers made from them, share one state. **Two limiters for one key
/// allow twice the limit: make one, clone it.**
///
/// See the [module](super) for how it decides.
#[derive(Clone)]
pub struct Limiter {
    pub(super) shared: Arc<Shared>,
}

impl Limiter {
    /// A limiter for these limits, for each API key separately.
    pub fn new(limits: Limits) -> Self {
        Self {
            shared: Shared::new(limits),
        }
    }

    /// Rejects at once any request whose expected wait exceeds `wait`. It applies to requests that come from
    /// now on. Default: no limit but the request's own deadline.
    #[must_use]
    pub fn with_max_wait(self, wait: Duration) -> Self {
        self.set(|settings| settings.max_wait = Some(wait.into()))
    }

    /// Sets how many requests may wait at a time. More are rejected at once. Default: 100,000, some 15 MB
    /// beside the requests themselves. Requests that wait for the inner service count too.
    #[must_use]
    pub fn with_max_waiting(self, requests: usize) -> Self {
        self.set(|settings| settings.max_waiting = requests)
    }

    /// Sets how many API keys the limiter remembers. Default: 100,000, some 50 MB, and 100 MB more if their
    /// tokens are limited. If it is full, the limiter forgets keys that are no different from new ones, and
    /// then those that only learned something, the longest idle first. A key for which there is no room is
    /// rejected. While most keys are in use it may remember a 64th more, since it searches for 64 at a time. 0 counts
    /// as 1.
    #[must_use]
    pub fn with_max_keys(self, keys: usize) -> Self {
        self.set(|settings| settings.max_keys = keys.max(1))
    }

    /// Sets how many lanes a key has for models. Further models share one lane for each endpoint. Default:
    /// 64, and over all keys four for each key that there may be, some 120 MB.
    #[must_use]
    pub fn with_max_lanes(self, lanes: u16) -> Self {
        // Lanes are counted in 16 bits, and there are more lanes than these.
        self.set(|settings| settings.max_lanes = lanes.min(u16::MAX / 2).into())
    }

    /// Sets how long a response may be silent and keep its [in-flight slot](crate::Limits::in_flight). After
    /// that the slot comes free, and the response goes on: a stream that its server has forgotten must not
    /// hold a slot for ever. The time is counted while the body is read, from its head and from each piece of
    /// it. Default: 10 minutes, as long as OpenAI's SDKs wait for a piece. `Duration::MAX` sets no bound.
    #[must_use]
    pub fn with_max_silence(self, silence: Duration) -> Self {
        self.set(|settings| settings.max_silence = silence)
    }

    /// Sets whether lanes learn from the server: lower their pace after a 429, raise it while that goes well
    /// and there is more to send, and apply the limits that the server names. Default: yes, up to the numbers
    /// that you wrote.
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

    /// Waits for the turn of a request, given as a [`Call`] or a reference to one. The request may be sent as
    /// soon as the permit is there: it is charged when the future is ready.
    ///
    /// # Errors
    ///
    /// Rejects at once, or as soon as it is known, a request that cannot be sent in time or never fits. Also
    /// rejects it if too many requests wait, or if the limiter is closed.
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
    /// // Send the request here, read its response to the end, and then:
    /// drop(permit);
    /// # Ok(())
    /// # }
    /// ```
    pub fn acquire(&self, call: impl Into<Call>) -> Acquire {
        Acquire::new(call.into(), self.turn())
    }

    /// Returns a permit if the request may be sent at once. `call` is a [`Call`] or a reference to one.
    ///
    /// # Errors
    ///
    /// If the request would have to wait, for as long as [`Rejected::retry_after`] says, or would be
    /// rejected. Nothing is charged then.
    pub fn try_acquire(&self, call: impl Borrow<Call>) -> Result<Permit, Rejected> {
        self.turn().at_once(call.borrow())
    }

    /// Puts another table in force at once, also for waiting requests.
    ///
    /// Earlier requests stay charged: debt under the old pace is paid at the new one, from this moment. A
    /// paced quota that becomes [unpaced](crate::Quota::unpaced) counts what it may have sent in the last
    /// window. A request in flight holds its slot in whichever limit its lane is under. Waiting requests that
    /// can no longer be sent in time, or never, are rejected.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.set_limits(limits);
    }

    /// Rejects all waiting requests, and all that come later. Requests in flight go on.
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

    /// Reports that a job has ended, and frees the slot that [`Permit::hold_for_job`] kept for it. Returns
    /// whether there was one.
    pub fn job_ended(&self, job: &str) -> bool {
        self.shared
            .with(|state, moment| state.end_job_anywhere(job, moment))
    }

    /// The state of the limiter. It takes a moment for each key: use it for a page or a log, not for each
    /// request. Requests go on meanwhile.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.shared)
    }

    /// Counts a request that a layer passes through.
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

/// Omits the state, which can be long: see [`snapshot`](Limiter::snapshot).
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
