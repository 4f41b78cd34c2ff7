use std::time::Duration;

use http::Request;
use tower_layer::Layer;

use super::{TogetherRateLimit, read, tokens::Tokenizer};
use crate::{
    body::{Bound, RequestBody},
    limiter::Limiter,
    words::{Call, Classify, Limits},
};

/// Holds each request until the API will take it. See the [module](super).
#[derive(Clone, Debug)]
pub struct TogetherRateLimitLayer {
    limiter: Limiter,
    classify: Classify,
    error_body: Bound,
    tokenizer: Option<Tokenizer>,
}

impl TogetherRateLimitLayer {
    /// A layer with a limiter of its own for these limits, shared by every clone of the layer and
    /// every service made from it.
    pub fn new(limits: Limits) -> Self {
        Self::from(Limiter::new(limits))
    }

    /// Which requests to limit, and as what. Default: Together's routes on any host.
    #[must_use]
    pub fn with_classify(mut self, classify: Classify) -> Self {
        self.classify = classify;
        self
    }

    /// How much of an error's body is read into [`ApiError`](crate::ApiError), and for how long at
    /// most. Default: 16 KiB, a hundred times what the API's errors are, and 1 s; of a 429 or 503,
    /// 100 ms, since its lane is to stop. The answer's body is handed on whole.
    #[must_use]
    pub fn with_error_body(mut self, bytes: usize, time: Duration) -> Self {
        self.error_body = Bound { bytes, time };
        self
    }

    /// How to count the tokens of a prompt's texts, given the model's name (empty if there is none) and
    /// a text. Asked only where a [token quota](Limits::tokens) is in force, on the thread that polls,
    /// before the request's turn. Default: an estimate, off by 6 % on average; see the
    /// [module](super#tokens).
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

    /// Reads a request as this layer does, for [`Limiter::acquire`]: see [`Call::of`]. `None` for a request
    /// that the layer leaves alone.
    pub fn call_of<B: RequestBody + Clone>(&self, request: &Request<B>) -> Option<Call> {
        let endpoint = self.classify.endpoint(request)?;
        Some(read::charged(request, endpoint, self.tokenizer.as_ref()))
    }

    /// The limiter it asks.
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }
}

impl From<Limiter> for TogetherRateLimitLayer {
    /// A layer that asks this limiter, together with whoever else has a clone of it.
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
    /// A layer with a limiter of its own for [`Limits::default`].
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

/// A service that is not `Clone` is refused here, where it is given: put it into a
/// `tower::buffer::Buffer`.
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
