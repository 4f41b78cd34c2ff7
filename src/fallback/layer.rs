use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{TogetherFallback, settings::FallbackSettings};
use crate::{
    body::ReplayBuffer,
    words::{Classify, extension::Fallback},
};

/// Sends a request to the next model if its own cannot serve it. See the [module](super).
#[derive(Clone, Debug, Default)]
pub struct TogetherFallbackLayer {
    settings: Arc<FallbackSettings>,
}

impl TogetherFallbackLayer {
    /// Creates a layer without chains. It acts only on requests that bring their [own].
    ///
    /// [own]: crate::extension::Fallback
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the models that serve a request if `model` is overloaded or makes it wait too long, in order. A second
    /// chain for the same model replaces the first.
    ///
    /// It applies to chat, completions and images, where one model's response can replace another's. It never
    /// applies to embeddings, which are not comparable between models. A request may [name] other models, or none.
    ///
    /// [name]: crate::extension::Fallback
    ///
    /// # Panics
    ///
    /// If one of `others` is an empty name.
    #[must_use]
    pub fn with_chain<I>(self, model: impl Into<Arc<str>>, others: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Arc<str>>,
    {
        let (model, others) = (model.into(), Fallback::to(others));
        self.with(|settings| drop(settings.chains.insert(model, others)))
    }

    /// The number of 503 responses after which a model is passed over. Default: 2, since a single 503 often lasts
    /// only a second.
    ///
    /// The [retry layer](crate::retry) beneath makes the retries. If it returns a 503 earlier, because it allows no
    /// further retry, that 503 is enough.
    ///
    /// # Panics
    ///
    /// If `responses` is 0.
    #[must_use]
    pub fn with_max_503s(self, responses: u32) -> Self {
        assert!(
            responses > 0,
            "a model is tried before it is passed over: write 1 to go on after its first 503"
        );
        self.with(|settings| settings.max_503s = responses)
    }

    /// The maximum time that a request waits for its turn before it goes to the next model. It goes at once if the
    /// [rate limit layer](crate::rate_limit) beneath knows that the wait will be longer. Default: the bounds of the
    /// last model, which this setting never affects: [`Limiter::with_max_wait`](crate::Limiter::with_max_wait), and
    /// the request's [`Deadline`](crate::extension::Deadline).
    #[must_use]
    pub fn with_max_wait(self, wait: Duration) -> Self {
        self.with(|settings| settings.max_wait = Some(wait))
    }

    /// The maximum memory for request bodies that have to be copied. Default: 2 MiB for each, and 64 MiB for all.
    /// A request with a larger body stays with its model.
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

    /// Classifies requests by endpoint, which decides whether the layer acts on them. Default: Together's routes on
    /// any host.
    #[must_use]
    pub fn with_classify(self, classify: Classify) -> Self {
        self.with(|settings| settings.classify = classify)
    }

    fn with(mut self, change: impl FnOnce(&mut FallbackSettings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

/// A service that is not `Clone` is rejected here at compile time: wrap it in a `tower::buffer::Buffer`.
impl<S: Clone> Layer<S> for TogetherFallbackLayer {
    type Service = TogetherFallback<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TogetherFallback::new(inner, Arc::clone(&self.settings))
    }
}
