//! Computes the expected cost of a request from a token quota.

use std::{fmt, sync::Arc};

use http::Request;

use crate::{
    body::RequestBody,
    wire::{self, request::Asked},
    words::{Call, Charge, Endpoint, extension::Cost},
};

/// The user's function that counts a text's tokens for a model.
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

/// The charge for a request that counts tokens, unless its caller states the cost. The prompt of a body that is
/// not in memory is unknown; it is charged when the response reports it.
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

/// The expected charge for a request that asks for this prompt and these completions.
pub(super) fn expected(asked: &Asked, endpoint: Endpoint) -> Charge {
    let writes = matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Completions);
    Charge::Expected {
        prompt: asked.prompt,
        choices: if writes { asked.choices } else { 0 },
        most: asked.most,
    }
}
