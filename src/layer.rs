use std::time::Duration;

use tower_layer::Layer;

use crate::{
    limiter::Limiter,
    rate_limit::{TogetherRateLimit, TogetherRateLimitLayer},
    retry::{TogetherRetry, TogetherRetryLayer},
    words::{Classify, Limits},
};

/// Both layers in one line. Each request waits until the API will take it, and is retried if its failure is
/// transient.
///
/// ```text
/// caller → TogetherRetry → TogetherRateLimit → client
/// ```
///
/// The retry layer is the outer one, so that each attempt waits its turn and is charged.
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
/// // The same stack, made of its two layers:
/// let stack = ServiceBuilder::new()
///     .layer(TogetherRetryLayer::default().with_max_retries(8))
///     .layer(TogetherRateLimitLayer::new(Limits::default().scaled(9, 10)?));
/// # Ok::<(), tower_together::Error>(())
/// ```
///
/// # Not around a server's routes
///
/// The layer goes around a client. `axum::Router::layer(TogetherLayer::default())` compiles, since a router is a
/// service too. But the layer then runs the app's own handlers again when they fail, and holds the app's callers to
/// Together's limits. Give the handlers a client with this layer instead, in `State` ([example][out]). To limit an
/// app's callers, use [`TogetherRateLimitLayer`] alone ([example][in]). The same is true of tonic's and hyper's
/// servers. With the feature `tracing`, the [mistake](crate::limiter#mistakes) is warned of.
///
/// [out]: https://docs.rs/crate/tower-together/latest/source/examples/axum_out.rs
/// [in]: https://docs.rs/crate/tower-together/latest/source/examples/axum_in.rs
#[derive(Clone, Debug, Default)]
pub struct TogetherLayer {
    rate_limit: TogetherRateLimitLayer,
    retry: TogetherRetryLayer,
    /// The classification of both layers, if one was given to this layer.
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
    /// Both layers, over a limiter of their own for `limits`, which all clones share.
    pub fn new(limits: Limits) -> Self {
        Self::from(Limiter::new(limits))
    }

    /// Replaces the retry layer.
    #[must_use]
    pub fn with_retry(mut self, retry: TogetherRetryLayer) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how often a request is retried at most, as [`TogetherRetryLayer::with_max_retries`] does.
    /// Overrides the number given to [`with_retry`](Self::with_retry).
    #[must_use]
    pub fn with_max_retries(mut self, retries: u32) -> Self {
        self.retry = self.retry.with_max_retries(retries);
        self
    }

    /// Rejects at once any request of the limiter whose expected wait exceeds `wait`, as
    /// [`Limiter::with_max_wait`] does.
    #[must_use]
    pub fn with_max_wait(self, wait: Duration) -> Self {
        let _ = self.limiter().clone().with_max_wait(wait);
        self
    }

    /// Sets which requests both layers act on, and as which endpoint. Overrides the setting of each layer.
    /// Default: the setting of each layer, or Together's routes on any host.
    #[must_use]
    pub fn with_classify(mut self, classify: Classify) -> Self {
        self.classify = Some(classify);
        self
    }

    /// The limiter that this layer asks.
    pub fn limiter(&self) -> &Limiter {
        self.rate_limit.limiter()
    }
}

impl From<Limiter> for TogetherLayer {
    /// Both layers, over `limiter`.
    fn from(limiter: Limiter) -> Self {
        Self::from(TogetherRateLimitLayer::from(limiter))
    }
}

impl From<TogetherRateLimitLayer> for TogetherLayer {
    /// A retry layer over `rate_limit`.
    fn from(rate_limit: TogetherRateLimitLayer) -> Self {
        Self {
            rate_limit,
            retry: TogetherRetryLayer::default(),
            classify: None,
        }
    }
}

/// A service that is not `Clone` does not compile here, where it is given. Put it into a
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
