use std::time::Duration;

use http::Request;
use tower_layer::Layer;

use super::{TogetherRateLimit, read, tokens::Tokenizer};
use crate::{
    body::{Bound, RequestBody},
    limiter::Limiter,
    words::{Call, Classify, Limits},
};

/// Holds each request until the API will accept it. See the [module](super).
#[derive(Clone, Debug)]
pub struct TogetherRateLimitLayer {
    limiter: Limiter,
    classify: Classify,
    error_body: Bound,
    tokenizer: Option<Tokenizer>,
}

impl TogetherRateLimitLayer {
    /// Creates a layer with its own limiter for these limits. Clones of the layer, and the services made from them,
    /// share the limiter.
    pub fn new(limits: Limits) -> Self {
        Self::from(Limiter::new(limits))
    }

    /// Classifies requests by endpoint, which decides their limits. Default: Together's routes on any host.
    #[must_use]
    pub fn with_classify(mut self, classify: Classify) -> Self {
        self.classify = classify;
        self
    }

    /// The maximum size of an error's body that is read into [`ApiError`](crate::ApiError), and the maximum time.
    /// Default: 16 KiB, a hundred times the size of the API's errors, and 1 s; for a 429 or 503 100 ms, since its
    /// lane must pause soon. The response's body is returned whole.
    #[must_use]
    pub fn with_error_body(mut self, bytes: usize, time: Duration) -> Self {
        self.error_body = Bound { bytes, time };
        self
    }

    /// Counts the tokens of a prompt's texts. Its arguments are the model's name (empty if there is none) and a text.
    /// It is called only if a [token quota](Limits::tokens) applies, on the thread that polls, before the request's
    /// turn. Default: an estimate, off by 6 % on average; see the [module](super#tokens).
    ///
    /// ```
    /// use tower_together::TogetherRateLimitLayer;
    ///
    /// # fn tokens_of(text: &str) -> usize { text.len() }
    /// let layer = TogetherRateLimitLayer::default()
    ///     .with_tokenizer(|_model, text| tokens_of(text) as u64);
    /// ```
    #[must_use]
    pub fn with_tokenizer(
        mut self,
        count: impl Fn(&str, &str) -> u64 + Send + Sync + 'static,
    ) -> Self {
        self.tokenizer = Some(Tokenizer::new(count));
        self
    }

    /// Reads a request as this layer does, for [`Limiter::acquire`]: see [`Call::of`]. `None` for a request that the
    /// layer does not limit.
    pub fn call_of<B: RequestBody + Clone>(&self, request: &Request<B>) -> Option<Call> {
        let endpoint = self.classify.endpoint(request)?;
        Some(read::charged(request, endpoint, self.tokenizer.as_ref()))
    }

    /// The layer's limiter.
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }
}

impl From<Limiter> for TogetherRateLimitLayer {
    /// Creates a layer that shares this limiter with its other clones.
    fn from(limiter: Limiter) -> Self {
        Self {
            limiter,
            classify: Classify::default(),
            error_body: Bound::ERROR,
            tokenizer: None,
        }
    }
}

impl Default for TogetherRateLimitLayer {
    /// Creates a layer with its own limiter for [`Limits::default`].
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

/// A service that is not `Clone` is rejected here at compile time: wrap it in a `tower::buffer::Buffer`.
impl<S: Clone> Layer<S> for TogetherRateLimitLayer {
    type Service = TogetherRateLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TogetherRateLimit::new(
            inner,
            self.limiter.clone(),
            self.classify.clone(),
            self.error_body,
            self.tokenizer.clone(),
        )
    }
}
