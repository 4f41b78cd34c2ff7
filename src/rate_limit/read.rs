//! What a request says of itself.

use std::sync::Arc;

use http::{
    Request,
    header::{AUTHORIZATION, CONTENT_TYPE},
};

use crate::{
    body::RequestBody,
    header,
    words::{
        Call, Endpoint, KeyId,
        extension::{ApiKey, Attempt, Caller, Cost, Deadline, Model},
    },
};

/// The request as the limiter sees it: what its caller says in extensions, and where that is
/// nothing, what its headers and a body in memory tell.
pub(super) fn call<B: RequestBody>(request: &mut Request<B>, endpoint: Endpoint) -> Call {
    let mut call = Call::new(endpoint);
    let said = request.extensions();
    if let Some(key) = said.get::<ApiKey>() {
        call = call.with_key(key.clone());
    } else if let Some(value) = request.headers().get(AUTHORIZATION) {
        call.key = KeyId::of_secret(header::credentials(value.as_bytes()));
    }
    call.caller = said.get::<Caller>().map_or(0, |caller| caller.id());
    call.tokens = said.get::<Cost>().map_or(0, |cost| cost.get());
    call.again = said
        .get::<Attempt>()
        .is_some_and(|attempt| attempt.number() > 1);
    call.deadline = said
        .get::<Deadline>()
        .copied()
        .or_else(|| header::timeout(request.headers()).map(Deadline::within));
    call.model = said.get::<Model>().map(Model::shared);
    if call.model.is_none() && endpoint.takes_model() {
        call.model = model(request);
    }
    call
}

/// Whether the answer must be in gRPC's shape.
pub(super) fn is_grpc<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    let rest = content_type.and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    // `application/grpc-web` is another protocol.
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

fn model<B: RequestBody>(request: &mut Request<B>) -> Option<Arc<str>> {
    request.body_mut().peek(header::model)?
}
