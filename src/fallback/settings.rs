use std::{collections::HashMap, sync::Arc, time::Duration};

use http::Request;

use crate::{
    body::{ReplayBuffer, RequestBody},
    wire::request::ModelPlaces,
    words::{Classify, Endpoint, extension::Fallback},
};

/// What a layer was told, shared by all its clones and services.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) chains: HashMap<Arc<str>, Fallback>,
    pub(super) max_503s: u32,
    pub(super) max_wait: Option<Duration>,
    pub(super) memory: ReplayBuffer,
    pub(super) classify: Classify,
}

/// A request that another model may answer.
pub(super) struct Chained {
    pub(super) endpoint: Endpoint,
    pub(super) places: ModelPlaces,
    /// The others, in order.
    pub(super) others: Vec<Arc<str>>,
}

impl Settings {
    /// Who else may answer the request, if anybody.
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

/// Where one model's answer does for another's. An embedding does not: beside those of another model
/// it means nothing, and it is kept. Scores and voices go by model too.
fn is_comparable(endpoint: Endpoint) -> bool {
    matches!(
        endpoint,
        Endpoint::ChatCompletions | Endpoint::Completions | Endpoint::Images
    )
}

/// Where whoever names the models for this one request may have them.
fn may_be_renamed(endpoint: Endpoint) -> bool {
    endpoint.takes_model() && !endpoint.creates()
}

/// The setters of the layer say where each number is from.
impl Default for Settings {
    fn default() -> Self {
        Self {
            chains: HashMap::new(),
            max_503s: 2,
            max_wait: None,
            memory: ReplayBuffer::default(),
            classify: Classify::default(),
        }
    }
}
