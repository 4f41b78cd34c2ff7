//! What a request costs of a token quota: expected before it leaves, settled when its answer says so.

use std::{fmt, sync::Arc};

use http::{
    Request, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
    response::Parts,
};

use crate::{
    body::RequestBody,
    header::{self, Asked, RESOURCE_EXHAUSTED, UsageReader},
    limiter::Permit,
    words::{Call, Charge, Endpoint, Rejected, extension::Cost},
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
    let writes = match call.endpoint {
        _ if request.extensions().get::<Cost>().is_some() => return call.charge,
        Endpoint::ChatCompletions | Endpoint::Completions => true,
        Endpoint::Embeddings | Endpoint::Rerank => false,
        _ => return call.charge,
    };
    let model = call.model.as_deref().unwrap_or_default();
    let asked = request.body_mut().peek(|body| match tokenizer {
        Some(Tokenizer(count)) => header::asked(body, |text| count(model, text)),
        None => header::asked(body, header::estimate),
    });
    let Asked {
        prompt,
        answers,
        most,
    } = asked.unwrap_or_default();
    Charge::Expected {
        prompt,
        answers: if writes { answers } else { 0 },
        most,
    }
}

/// What reads the usage in an answer's body, if it is worth reading and can be read.
pub(super) fn reader(head: &Parts, permit: &Permit) -> Option<UsageReader> {
    let value = |name| Some(head.headers.get(name)?.as_bytes());
    permit
        .counts_tokens()
        .then(|| UsageReader::new(value(CONTENT_TYPE), value(CONTENT_ENCODING)))?
}

/// Settles what an error cost, of which this is the beginning of the body; or a refusal of our own, by
/// another limiter beneath.
///
/// A 429 has cost nothing. Nor has another error of the request's own, unless it says so: it was not
/// looked at. Where the server failed, or was too slow, it may have been; so there the charge stands.
pub(super) fn settle(head: &Parts, body: &[u8], permit: &mut Permit) {
    if !permit.counts_tokens() {
        return;
    }
    let mut reader = reader(head, permit);
    if let Some(reader) = &mut reader {
        reader.read(body);
    }
    let usage = reader.and_then(|reader| reader.found());
    match (head.status, usage) {
        (StatusCode::TOO_MANY_REQUESTS, _) => permit.settle(0),
        (_, Some(usage)) => permit.used(usage),
        (StatusCode::REQUEST_TIMEOUT, None) => {}
        (status, None) if status.is_client_error() => permit.settle(0),
        _ if head.extensions.get::<Rejected>().is_some() => permit.settle(0),
        _ if header::grpc_failure(&head.headers) == Some(RESOURCE_EXHAUSTED) => permit.settle(0),
        _ => {}
    }
}
