use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{Budget, Decision, Failed, TogetherRetry, hook::Hook, settings::RetrySettings};
use crate::{
    body::{Bound, ReplayBuffer},
    words::Classify,
};

/// Retries transient failures. See the [module](super).
///
/// Clones share one [`Budget`] and one [`ReplayBuffer`].
#[derive(Clone, Debug, Default)]
pub struct TogetherRetryLayer {
    pub(super) settings: Arc<RetrySettings>,
}

impl TogetherRetryLayer {
    /// A layer with all defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The maximum number of retries; a request may [set its own]. Default: 4, as in the API's first Python SDK
    /// (5 attempts). The present SDKs have 2, too few to outlast a restart.
    ///
    /// [set its own]: crate::extension::Retries
    #[must_use]
    pub fn with_max_retries(self, retries: u32) -> Self {
        self.with(|settings| settings.max_retries = retries)
    }

    /// The maximum number of retries after the client timed out, for requests to generating endpoints (chat,
    /// completions, images, audio, video). Default: 1, since each attempt is paid for, and a response that exceeds
    /// the client's timeout once usually exceeds it again.
    ///
    /// This timeout is the client's own: reqwest's `timeout`, or tower's or tokio's inside. Retries after
    /// 5xx, resets and failed connections are not counted.
    #[must_use]
    pub fn with_max_retries_after_timeout(self, retries: u32) -> Self {
        self.with(|settings| settings.max_retries_after_timeout = retries)
    }

    /// The maximum ratio of retries to first attempts. Default: one in five, plus ten a minute for each caller
    /// or key.
    #[must_use]
    pub fn with_budget(self, budget: Budget) -> Self {
        self.with(|settings| settings.budget = Arc::new(budget))
    }

    /// The wait after a failure, if the server gives none: a random time of at most `first`, doubled for each
    /// further retry, up to `longest`. Default: 1 s and 30 s.
    ///
    /// The wait is drawn from the whole range ("full jitter"), so that requests that failed together do not return
    /// together.
    ///
    /// # Panics
    ///
    /// If `first` is longer than `longest`.
    #[must_use]
    pub fn with_backoff(self, first: Duration, longest: Duration) -> Self {
        assert!(
            first <= longest,
            "a backoff grows: write the shorter wait first, as in \
             with_backoff(Duration::from_secs(1), Duration::from_secs(30))"
        );
        self.with(|settings| {
            settings.backoff.first = first;
            settings.backoff.longest = longest;
        })
    }

    /// The maximum random time added to the wait that a server asks for. Default: 2 s, so that requests that were
    /// given the same wait do not return together. The wait is never shortened.
    #[must_use]
    pub fn with_jitter(self, jitter: Duration) -> Self {
        self.with(|settings| settings.backoff.jitter = jitter)
    }

    /// The wait after a 429 that gives none, before the jitter. Default: 5 s.
    ///
    /// Over a [rate limit layer](crate::rate_limit) it is used only if that layer does not pause the lane.
    #[must_use]
    pub fn with_wait_after_429(self, wait: Duration) -> Self {
        self.with(|settings| settings.backoff.unhinted = wait)
    }

    /// The longest wait that is accepted from a server. If the server asks for more, its response is returned at
    /// once. Default: 2 minutes, the largest bound of any SDK that has one (openai-python's
    /// `MAX_RETRY_AFTER_DELAY`).
    ///
    /// It does not apply if a [rate limit layer](crate::rate_limit) has paused the request's lane for as long. The
    /// request then waits in the lane like those behind it, and
    /// [`Limiter::with_max_wait`](crate::Limiter::with_max_wait) bounds that wait. A lane is paused for an hour at
    /// most, so this bound applies only to longer waits.
    #[must_use]
    pub fn with_longest_hint(self, hint: Duration) -> Self {
        self.with(|settings| settings.longest_hint = hint)
    }

    /// The former name of [`with_longest_hint`](Self::with_longest_hint).
    #[must_use]
    #[deprecated(since = "0.1.0", note = "renamed `with_longest_hint`")]
    pub fn with_max_wait(self, hint: Duration) -> Self {
        self.with_longest_hint(hint)
    }

    /// States whether the client beneath follows redirects. Default: reqwest may, and other clients do not,
    /// unless a response is known to be from another URL.
    ///
    /// A request that creates something may have done so at the first hop (`POST /files` gets a
    /// redirect), whatever the second hop says. If redirects may be followed, such a request is not retried after
    /// an error, nor after a response from another URL. Pass `false` for a client that has redirects switched off,
    /// such as reqwest's with `redirect(Policy::none())`: then a failed connection is retried. Pass `true` for a
    /// client of another kind that follows them, such as tower-http's `FollowRedirect`. With the crate's feature
    /// `tower-http`, the URL of its responses is known.
    ///
    /// ```
    /// use tower_together::TogetherRetryLayer;
    ///
    /// // Over `reqwest::Client::builder().redirect(reqwest::redirect::Policy::none())`.
    /// let layer = TogetherRetryLayer::default().with_redirects(false);
    /// ```
    #[must_use]
    pub fn with_redirects(self, followed: bool) -> Self {
        self.with(|settings| settings.redirects = Some(followed))
    }

    /// The maximum memory for request bodies that have to be copied or recorded. Default: 2 MiB for each, and
    /// 64 MiB for all. Larger bodies are sent once.
    #[must_use]
    pub fn with_replay_buffer(self, memory: ReplayBuffer) -> Self {
        self.with(|settings| settings.memory = memory)
    }

    /// The former name of [`with_replay_buffer`](Self::with_replay_buffer).
    #[must_use]
    #[deprecated(since = "0.1.0", note = "renamed `with_replay_buffer`")]
    pub fn with_memory(self, buffer: ReplayBuffer) -> Self {
        self.with_replay_buffer(buffer)
    }

    /// The maximum size that is read of a response that is discarded, and the maximum time, so that its connection
    /// can be reused. Default: 256 KiB and 500 ms. A longer body costs a new connection.
    #[must_use]
    pub fn with_drain(self, bytes: usize, time: Duration) -> Self {
        self.with(|settings| settings.drain = Bound { bytes, time })
    }

    /// The maximum size of an error's body that is read into [`ApiError`](crate::ApiError), and the maximum time.
    /// Used if no rate limit layer beneath has read it. Default: 16 KiB and 1 s.
    #[must_use]
    pub fn with_error_body(self, bytes: usize, time: Duration) -> Self {
        self.with(|settings| settings.error_body = Bound { bytes, time })
    }

    /// The maximum wait for the beginning of a successful response's body, since it may be an error
    /// ([`ApiError::in_band`](crate::ApiError::in_band)). An error in it is retried as the status that it names.
    /// Default: zero, for what arrives with the head alone.
    ///
    /// With a wait, a stream is returned when its first event has arrived, and JSON when its first frame has, or after
    /// `max_wait`. A comment is no event. No wait is made for a request without retries.
    #[must_use]
    pub fn with_first_frame(self, max_wait: Duration) -> Self {
        self.with(|settings| settings.first_frame = max_wait)
    }

    /// Calls `hook` once after each failed attempt: before each retry, and when the request has finally failed.
    /// The hook may reject a retry or add one. Default: none.
    ///
    /// The layer's other settings also bound an added retry. The hook is not called for a request with
    /// [`Retries::off`](crate::extension::Retries::off). A failed response that might be retried is read to its end
    /// first ([`with_drain`](Self::with_drain)), whatever its status.
    ///
    /// ```
    /// use tower_together::{TogetherRetryLayer, extension::Failure, retry::Decision};
    ///
    /// let layer = TogetherRetryLayer::default().with_hook(|failed| {
    ///     if let Some(wait) = failed.wait() {
    ///         println!("{}: {}, retried in {wait:?}", failed.endpoint(), failed.failure());
    ///     }
    ///     match failed.failure() {
    ///         // A file may only be found a moment after its upload.
    ///         Failure::Status(status) if status == 404 => Decision::Retry,
    ///         // Such slow requests are not worth another attempt.
    ///         Failure::Status(status) if status == 524 => Decision::Reject,
    ///         _ => Decision::AsPlanned,
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn with_hook<F>(self, hook: F) -> Self
    where
        F: Fn(&Failed<'_>) -> Decision + Send + Sync + 'static,
    {
        self.with(|settings| settings.hook = Some(Hook::new(hook)))
    }

    /// Classifies requests by endpoint, which decides whether they are retried. Default: Together's routes on any
    /// host.
    #[must_use]
    pub fn with_classify(self, classify: Classify) -> Self {
        self.with(|settings| settings.classify = classify)
    }

    fn with(mut self, change: impl FnOnce(&mut RetrySettings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

/// A service that is not `Clone` is rejected here at compile time: wrap it in a `tower::buffer::Buffer`.
impl<S: Clone> Layer<S> for TogetherRetryLayer {
    type Service = TogetherRetry<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TogetherRetry::new(inner, Arc::clone(&self.settings))
    }
}
