//! Reads a request for the limiter.

use http::Request;

use super::tokens::{self, Tokenizer};
use crate::{
    body::{RequestBody, asked},
    clock,
    wire::{self, request::Count},
    words::{
        Call, Charge, Endpoint, Identity, KeyId,
        extension::{ApiKey, Attempt, Caller, Cost, Deadline, Model, Patience},
    },
};

impl Call {
    /// Reads a request like a [`TogetherRateLimitLayer`](super::TogetherRateLimitLayer) does: endpoint, key, model,
    /// tokens, caller, deadline and attempt. So requests sent directly and requests sent through the layer share one
    /// limit.
    ///
    /// The model and the tokens are read from a body that [is in memory](crate::body). The endpoint is determined by
    /// Together's routes. For a layer with its own routes or tokenizer, use
    /// [`call_of`](super::TogetherRateLimitLayer::call_of). The request is cloned to be read.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use http::{HeaderMap, Request, StatusCode};
    /// use tower_together::{Limiter, limiter::{Call, Report}};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let limiter = Limiter::default();
    /// let request = Request::post("https://api.together.ai/v1/embeddings")
    ///     .header("authorization", "Bearer YOUR_KEY")
    ///     .header("content-type", "application/json")
    ///     .body(r#"{"model":"BAAI/bge-base-en-v1.5","input":"hello"}"#)?;
    /// let call = Call::of(&request);
    /// let mut permit = limiter.acquire(call.clone()).await?;
    /// // Send the request, for one as `reqwest::Request::try_from(request)?`, and read the response.
    /// # let (status, headers, body) = (StatusCode::OK, HeaderMap::new(), b"");
    /// let now = SystemTime::now();
    /// permit.report(&Report::read(call.endpoint(), status, &headers, body, now));
    /// # Ok(())
    /// # }
    /// ```
    pub fn of<B: RequestBody + Clone>(request: &Request<B>) -> Self {
        let stated = request.extensions().get::<Endpoint>().copied();
        let route = || Endpoint::of(request.method(), request.uri().path());
        let endpoint = stated.unwrap_or_else(route);
        charged(request, endpoint, None)
    }
}

/// The request as a call to the limiter, with its expected cost in tokens.
pub(super) fn charged<B: RequestBody + Clone>(
    request: &Request<B>,
    endpoint: Endpoint,
    tokenizer: Option<&Tokenizer>,
) -> Call {
    let mut request = request.clone();
    let mut call = call(&mut request, endpoint, tokenizer.is_none());
    if call.charge == Charge::NOTHING {
        call.charge = tokens::charge(&mut request, &call, tokenizer);
    }
    call
}

/// The request as a call to the limiter. Extensions take precedence over the headers and a body in memory. With
/// `estimates`, the expected cost in tokens is read together with the model.
pub(super) fn call<B: RequestBody>(
    request: &mut Request<B>,
    endpoint: Endpoint,
    estimates: bool,
) -> Call {
    let mut call = Call::new(endpoint);
    let said = request.extensions();
    let stated = wire::request::Stated::of(request.headers());
    if let Some(key) = said.get::<ApiKey>() {
        call = call.with_key(key.clone());
    } else if let Some(value) = stated.authorization {
        call.key = KeyId::of_secret(wire::request::credentials(value.as_bytes()));
        call.identity = Identity::of_header(value, wire::request::credentials);
    }
    let caller = said.get::<Caller>().map(|caller| caller.id());
    call.caller = caller.unwrap_or_default();
    let cost = said.get::<Cost>().copied();
    call.charge = cost.map_or(Charge::NOTHING, |cost| Charge::Given(cost.get()));
    call.retry = said
        .get::<Attempt>()
        .is_some_and(|attempt| attempt.number() > 1);
    call.deadline = stated.deadline(said);
    call.model = said.get::<Model>().map(Model::shared);
    if call.model.is_none() && endpoint.takes_model() {
        let estimates = estimates && endpoint.costs_tokens() && cost.is_none();
        let count: Option<Count<'_>> = estimates.then_some(&wire::request::estimate);
        let asked = asked(request, count).unwrap_or_default();
        if estimates {
            call.charge = tokens::expected(&asked, endpoint);
        }
        call.model = asked.model;
    }
    call
}

/// Limits the wait for the turn to the time that an outer fallback layer allows.
pub(super) fn hurry<B>(call: &mut Call, request: &Request<B>) {
    let patience = request.extensions().get::<Patience>();
    if let Some(wait) = patience.and_then(|patience| patience.wait) {
        let sooner = Deadline::within(wait).or_sooner(call.deadline, clock::now());
        call.deadline = Some(sooner);
    }
}
