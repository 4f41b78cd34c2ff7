use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{Budget, Decision, Failed, TogetherRetry, hook::Hook, settings::Settings};
use crate::{
    body::{Bound, ReplayBuffer},
    words::Classify,
};

/// Sends again what failed for a passing reason. See the [module](super).
///
/// Clones share one [`Budget`] and one [`ReplayBuffer`].
#[derive(Clone, Debug, Default)]
pub struct TogetherRetryLayer {
    pub(super) settings: Arc<Settings>,
}

impl TogetherRetryLayer {
    /// A layer with all defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How often a request is sent again at most; a request may [say otherwise]. Default: 4, as the
    /// API's first Python SDK (5 attempts); the present ones have 2, which does not outlast a restart.
    ///
    /// [say otherwise]: crate::extension::Retries
    #[must_use]
    pub fn with_max_retries(self, retries: u32) -> Self {
        self.with(|settings| settings.max_retries = retries)
    }

    /// Sets how often a request to a generating endpoint (chat, completions, images, audio, video) is retried
    /// at most after the client gave up waiting for its response. Default: 1, since each attempt is paid for,
    /// and one that outlasts the client's timeout once mostly does so again.
    ///
    /// Such a timeout is the client's own: reqwest's `timeout`, or tower's or tokio's inside. Retries after
    /// 5xx, resets and failed connections are not counted.
    #[must_use]
    pub fn with_max_retries_after_timeout(self, retries: u32) -> Self {
        self.with(|settings| settings.max_retries_after_timeout = retries)
    }

    /// How many retries there may be for each first attempt. Default: one in five, and ten a
    /// minute for each caller or key.
    #[must_use]
    pub fn with_budget(self, budget: Budget) -> Self {
        self.with(|settings| settings.budget = Arc::new(budget))
    }

    /// How long to wait after a failure where the server does not say: a random time of at most
    /// `first`, doubled for each further retry, up to `longest`. Default: 1 s and 30 s.
    ///
    /// The wait is drawn from the whole range ("full jitter"), or those that failed together would
    /// come back together.
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

    /// How much longer to wait than the server asks, at most, at random. Default: 2 s, so that those
    /// who were told the same do not come back together; never less than was asked.
    #[must_use]
    pub fn with_jitter(self, jitter: Duration) -> Self {
        self.with(|settings| settings.backoff.jitter = jitter)
    }

    /// How long to wait after a 429 that does not say for how long, before the jitter. Default: 5 s.
    ///
    /// Over a [rate limit layer](crate::rate_limit) it is not used: there the lane is paused.
    #[must_use]
    pub fn with_wait_after_429(self, wait: Duration) -> Self {
        self.with(|settings| settings.backoff.unhinted = wait)
    }

    /// The longest wait that a server may ask for; where it asks for more, its answer is returned at
    /// once. Default: 2 minutes, the most that an SDK with a bound believes (openai-python's
    /// `MAX_RETRY_AFTER_DELAY`).
    ///
    /// A request whose lane a [rate limit layer](crate::rate_limit) has paused for as long waits there like
    /// those behind it, which [`Limiter::with_max_wait`](crate::Limiter::with_max_wait) bounds. A lane is paused
    /// for an hour at most: only beyond that is this bound asked.
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
    /// A request that creates something may have done so at the first hop (`POST /files` is answered by a
    /// redirect), whatever the second says. Where redirects may be followed, such a request is not retried
    /// after an error, nor after a response from another URL. Write `false` for a client that has redirects
    /// switched off, such as reqwest's with `redirect(Policy::none())`: then a connection that could not be
    /// made is retried. Write `true` for a client of another kind that follows them, such as tower-http's
    /// `FollowRedirect`; the crate's feature `tower-http` reads where its responses are from.
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

    /// How much may be kept of request bodies that cannot be cloned. Default: 2 MiB of each, 64 MiB of
    /// all. What is larger is sent once.
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

    /// How much of an answer that is thrown away is read, and for how long at most, so that its
    /// connection can be used again. Default: 256 KiB and 500 ms; a body longer than that costs a new
    /// connection.
    #[must_use]
    pub fn with_drain(self, bytes: usize, time: Duration) -> Self {
        self.with(|settings| settings.drain = Bound { bytes, time })
    }

    /// How much of an error's body is read into [`ApiError`](crate::ApiError), and for how long at
    /// most, where no rate limit layer beneath has read it. Default: 16 KiB and 1 s.
    #[must_use]
    pub fn with_error_body(self, bytes: usize, time: Duration) -> Self {
        self.with(|settings| settings.error_body = Bound { bytes, time })
    }

    /// How long to wait for the first frame of a successful response's body, for it may be an error
    /// ([`ApiError::in_band`](crate::ApiError::in_band)). An error in it is retried as the status that it names.
    /// Default: zero, for a frame that comes with the head alone.
    ///
    /// With a wait, a stream is handed on when its first frame has come, or after `max_wait`.
    #[must_use]
    pub fn with_first_frame(self, max_wait: Duration) -> Self {
        self.with(|settings| settings.first_frame = max_wait)
    }

    /// Calls `hook` once after each failed attempt: before each retry, and when the request has failed for good.
    /// It may reject a retry, and may add one. Default: none.
    ///
    /// The layer's other settings bound what is added. A request with
    /// [`Retries::off`](crate::extension::Retries::off) is left out. A failed response that might be retried is
    /// read to its end first ([`with_drain`](Self::with_drain)), whatever its status.
    ///
    /// ```
    /// use tower_together::{TogetherRetryLayer, extension::Failure, retry::Decision};
    ///
    /// let layer = TogetherRetryLayer::default().with_hook(|failed| {
    ///     if let Some(wait) = failed.wait() {
    ///         println!("{}: {}, retried in {wait:?}", failed.endpoint(), failed.failure());
    ///     }
    ///     match failed.failure() {
    ///         // A file may be found only a moment after its upload.
    ///         Failure::Status(status) if status == 404 => Decision::Retry,
    ///         // Whatever takes so long is not worth another attempt.
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

    /// Which requests to send again, and as what. Default: Together's routes on any host.
    #[must_use]
    pub fn with_classify(self, classify: Classify) -> Self {
        self.with(|settings| settings.classify = classify)
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

/// A service that is not `Clone` is refused here, where it is given: put it into a
/// `tower::buffer::Buffer`.
impl<S: Clone> Layer<S> for TogetherRetryLayer {
    type Service = TogetherRetry<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TogetherRetry::new(inner, Arc::clone(&self.settings))
    }
}
