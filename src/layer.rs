use std::time::Duration;

use tower_layer::Layer;

use crate::{
    limiter::Limiter,
    rate_limit::{TogetherRateLimit, TogetherRateLimitLayer},
    retry::{TogetherRetry, TogetherRetryLayer},
    words::{Classify, Limits},
};

/// Both layers in one line: each request waits until the API will take it, and is sent again if it
/// fails for a passing reason.
///
/// ```text
/// caller → TogetherRetry → TogetherRateLimit → client
/// ```
///
/// Retry stands outside, so that each attempt waits its turn and pays for itself.
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_together::{Limits, TogetherLayer, TogetherRateLimitLayer, TogetherRetryLayer};
///
/// // With all defaults, and with numbers of one's own:
/// let stack = ServiceBuilder::new().layer(TogetherLayer::default());
/// let stack = ServiceBuilder::new().layer(
///     TogetherLayer::new(Limits::default().scaled(9, 10)?)
///         .with_retry(TogetherRetryLayer::default().with_max_retries(8)),
/// );
/// // The same by hand:
/// let stack = ServiceBuilder::new()
///     .layer(TogetherRetryLayer::default().with_max_retries(8))
///     .layer(TogetherRateLimitLayer::new(Limits::default().scaled(9, 10)?));
/// # Ok::<(), tower_together::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TogetherLayer {
    rate_limit: TogetherRateLimitLayer,
    retry: TogetherRetryLayer,
    /// Of both, if it was said of both.
    classify: Option<Classify>,
}

/// The service that [`TogetherLayer`] makes, by a name for the field of a struct.
///
/// ```
/// use tower::Layer;
/// use tower_together::{Together, TogetherLayer};
///
/// struct App<S> {
///     api: Together<S>,
/// }
/// # let client = tower::service_fn(|_: http::Request<()>| async { Ok::<_, ()>(http::Response::new(())) });
///
/// let app = App { api: TogetherLayer::default().layer(client) };
/// # let _ = app.api;
/// ```
pub type Together<S> = TogetherRetry<TogetherRateLimit<S>>;

impl TogetherLayer {
    /// Both layers, over a limiter of its own for these limits, which all clones share.
    pub fn new(limits: Limits) -> Self {
        Self::from(Limiter::new(limits))
    }

    /// Retries as this layer does.
    #[must_use]
    pub fn with_retry(mut self, retry: TogetherRetryLayer) -> Self {
        self.retry = retry;
        self
    }

    /// How often a request is sent again at most; as
    /// [`TogetherRetryLayer::with_max_retries`], whatever [`with_retry`](Self::with_retry) said before.
    #[must_use]
    pub fn with_max_retries(mut self, retries: u32) -> Self {
        self.retry = self.retry.with_max_retries(retries);
        self
    }

    /// Refuses at once what could not leave within `wait`, of all requests of the limiter; as
    /// [`Limiter::with_max_wait`].
    #[must_use]
    pub fn with_max_wait(self, wait: Duration) -> Self {
        let _ = self.limiter().clone().with_max_wait(wait);
        self
    }

    /// Which requests to act on, and as what, in both layers, whatever was said to one of them.
    /// Default: as they were told, or Together's routes on any host.
    #[must_use]
    pub fn with_classify(mut self, classify: Classify) -> Self {
        self.classify = Some(classify);
        self
    }

    /// The limiter it asks.
    pub fn limiter(&self) -> &Limiter {
        self.rate_limit.limiter()
    }
}

impl From<Limiter> for TogetherLayer {
    /// Both layers, over this limiter.
    fn from(limiter: Limiter) -> Self {
        Self::from(TogetherRateLimitLayer::from(limiter))
    }
}

impl From<TogetherRateLimitLayer> for TogetherLayer {
    /// Retries over this layer.
    fn from(rate_limit: TogetherRateLimitLayer) -> Self {
        Self {
            rate_limit,
            retry: TogetherRetryLayer::default(),
            classify: None,
        }
    }
}

/// A service that is not `Clone` is refused here, where it is given: put it into a
/// `tower::buffer::Buffer`.
impl<S: Clone> Layer<S> for TogetherLayer {
    type Service = Together<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let Some(classify) = &self.classify else {
            return self.retry.layer(self.rate_limit.layer(inner));
        };
        let rate_limit = self.rate_limit.clone().with_classify(classify.clone());
        let retry = self.retry.clone().with_classify(classify.clone());
        retry.layer(rate_limit.layer(inner))
    }
}
