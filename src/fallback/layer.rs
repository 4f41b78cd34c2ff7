use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{TogetherFallback, settings::Settings};
use crate::{
    body::ReplayBuffer,
    words::{Classify, extension::Fallback},
};

/// Sends to the next model what its own cannot take. See the [module](super).
#[derive(Clone, Debug, Default)]
pub struct TogetherFallbackLayer {
    settings: Arc<Settings>,
}

impl TogetherFallbackLayer {
    /// A layer without chains: it acts on requests that bring their [own].
    ///
    /// [own]: crate::extension::Fallback
    pub fn new() -> Self {
        Self::default()
    }

    /// Where `model` is overloaded or makes a request wait too long, these answer, in this order. A
    /// second chain for the same model replaces the first.
    ///
    /// It counts for chat, completions and images, since there one model's answer does for another's;
    /// never for embeddings, which mean nothing beside those of another model. A request may [name]
    /// others, or none.
    ///
    /// [name]: crate::extension::Fallback
    ///
    /// # Panics
    ///
    /// If one of them has no name.
    #[must_use]
    pub fn with_chain<I>(self, model: impl Into<Arc<str>>, others: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Arc<str>>,
    {
        let (model, others) = (model.into(), Fallback::to(others));
        self.with(|settings| drop(settings.chains.insert(model, others)))
    }

    /// After how many answers 503 a model is given up. Default: 2, since one is often a matter of a
    /// second.
    ///
    /// It is the [retry layer](crate::retry) beneath that sends again. A 503 that it hands on before
    /// that, because a retry would be one too many, is enough too.
    ///
    /// # Panics
    ///
    /// If `answers` is 0.
    #[must_use]
    pub fn with_max_503s(self, answers: u32) -> Self {
        assert!(
            answers > 0,
            "a model is asked before it is given up: write 1 to go on after its first 503"
        );
        self.with(|settings| settings.max_503s = answers)
    }

    /// How long a request may wait for its turn before it goes to the next model instead; at once, if
    /// the [rate limit layer](crate::rate_limit) beneath knows that it will be longer. Default: as long
    /// as for the last model, which this does not change:
    /// [`Limiter::with_max_wait`](crate::Limiter::with_max_wait), and the request's
    /// [`Deadline`](crate::extension::Deadline).
    #[must_use]
    pub fn with_max_wait(self, wait: Duration) -> Self {
        self.with(|settings| settings.max_wait = Some(wait))
    }

    /// How much may be kept of request bodies that cannot be cloned without a copy. Default: 2 MiB of
    /// each, 64 MiB of all. What is larger stays with its model.
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

    /// Which requests to act on, and as what. Default: Together's routes on any host.
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
impl<S: Clone> Layer<S> for TogetherFallbackLayer {
    type Service = TogetherFallback<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TogetherFallback::new(inner, Arc::clone(&self.settings))
    }
}
