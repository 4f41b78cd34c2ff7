//! What a request is expected to cost of a token quota.

use std::{fmt, sync::Arc};

use http::Request;

use crate::{
    body::RequestBody,
    wire::{self, request::Asked},
    words::{Call, Charge, Endpoint, extension::Cost},
};

/// How the user counts a text's tokens, for a model.
#[derive(Clone)]
pub(super) struct Tokenizer(Arc<Count>);

type Count = dyn Fn(&str, &str) -> u64 + Send + Sync;

impl Tokenizer {
    pub(super) fn new(count: impl Fn(&str, &str) -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(count))
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokenizer(..)")
    }
}

/// What a request of which tokens are counted is charged, if its caller does not say. Of a body that
/// is not in memory the prompt is not known, and counts when its answer says what it was.
pub(super) fn charge<B: RequestBody>(
    request: &mut Request<B>,
    call: &Call,
    tokenizer: Option<&Tokenizer>,
) -> Charge {
    if !call.endpoint.costs_tokens() || request.extensions().get::<Cost>().is_some() {
        return call.charge;
    }
    let model = call.model.as_deref().unwrap_or_default();
    let asked = request.body_mut().peek(|body| match tokenizer {
        Some(Tokenizer(count)) => wire::request::asked(body, Some(&|text| count(model, text))),
        None => wire::request::asked(body, Some(&wire::request::estimate)),
    });
    expected(&asked.unwrap_or_default(), call.endpoint)
}

/// What a request is charged that asks for so much.
pub(super) fn expected(asked: &Asked, endpoint: Endpoint) -> Charge {
    let writes = matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Completions);
    Charge::Expected {
        prompt: asked.prompt,
        answers: if writes { asked.answers } else { 0 },
        most: asked.most,
    }
}
