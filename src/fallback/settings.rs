use std::{collections::HashMap, sync::Arc, time::Duration};

use http::Request;

use crate::{
    body::{ReplayBuffer, RequestBody},
    observe::Repeats,
    wire::request::ModelPlaces,
    words::{Classify, Endpoint, extension::Fallback},
};

/// A layer's settings, shared by its clones and services.
#[derive(Clone, Debug)]
pub(super) struct FallbackSettings {
    pub(super) chains: HashMap<Arc<str>, Fallback>,
    pub(super) max_503s: u32,
    pub(super) max_wait: Option<Duration>,
    pub(super) memory: ReplayBuffer,
    pub(super) classify: Classify,
    pub(super) repeats: Repeats,
}

/// A request that other models may serve.
pub(super) struct Chained {
    pub(super) endpoint: Endpoint,
    pub(super) places: ModelPlaces,
    /// The other models, in order.
    pub(super) others: Vec<Arc<str>>,
}

impl FallbackSettings {
    /// The models that may serve the request; `None` if there is only its own.
    pub(super) fn chain<B: RequestBody>(&self, request: &mut Request<B>) -> Option<Chained> {
        let endpoint = self.classify.endpoint(request)?;
        let said = request.extensions().get::<Fallback>().cloned();
        let named = match &said {
            Some(said) => !said.models().is_empty() && may_be_renamed(endpoint),
            None => !self.chains.is_empty() && is_comparable(endpoint),
        };
        if !named {
            return None;
        }
        let places = request.body_mut().peek(ModelPlaces::find)??;
        let others = match &said {
            Some(said) => said,
            None => self.chains.get(places.model())?,
        };
        let others = others.models().iter();
        let others: Vec<_> = others
            .filter(|other| *other != places.model())
            .cloned()
            .collect();
        (!others.is_empty()).then_some(Chained {
            endpoint,
            places,
            others,
        })
    }
}

/// Whether one model's response can replace another's. Embeddings are stored, and not comparable between models.
/// Scores and voices depend on the model too.
fn is_comparable(endpoint: Endpoint) -> bool {
    matches!(
        endpoint,
        Endpoint::ChatCompletions | Endpoint::Completions | Endpoint::Images
    )
}

/// Whether a request may name its own fallback models.
fn may_be_renamed(endpoint: Endpoint) -> bool {
    endpoint.takes_model() && !endpoint.creates()
}

/// The layer's setters give the source of each number.
impl Default for FallbackSettings {
    fn default() -> Self {
        Self {
            chains: HashMap::new(),
            max_503s: 2,
            max_wait: None,
            memory: ReplayBuffer::default(),
            classify: Classify::default(),
            repeats: Repeats::default(),
        }
    }
}
