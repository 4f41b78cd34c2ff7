//! Reads what a request asks for, if its body is in memory.

use std::sync::Arc;

use http::{Request, header::CONTENT_TYPE};

use super::RequestBody;
use crate::{
    wire::{
        self,
        request::{Asked, Count},
    },
    words::{Endpoint, extension::Model},
};

/// The request's model: the one that its extension names, or the one in its body.
pub(crate) fn model<B: RequestBody>(
    request: &mut Request<B>,
    endpoint: Endpoint,
) -> Option<Arc<str>> {
    let named = request.extensions().get().map(Model::shared);
    let in_body = || asked(request, None)?.model;
    named.or_else(|| endpoint.takes_model().then(in_body)?)
}

/// Reads what a JSON object or a form asks for.
pub(crate) fn asked<B: RequestBody>(
    request: &mut Request<B>,
    count: Option<Count<'_>>,
) -> Option<Asked> {
    let in_json = request.body_mut().peek(|body| match body.first() {
        // No form begins like JSON, and an empty body asks for nothing.
        None | Some(b'{') => Some(wire::request::asked(body, count)),
        Some(_) => None,
    })?;
    in_json.or_else(|| {
        let content_type = request.headers().get(CONTENT_TYPE);
        let boundary = content_type.and_then(|value| wire::request::boundary(value.as_bytes()));
        request.body_mut().peek(|body| match &boundary {
            Some(boundary) => Asked {
                model: wire::request::form_model(boundary, body),
                ..Asked::default()
            },
            None => wire::request::asked(body, count),
        })
    })
}
