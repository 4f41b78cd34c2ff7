//! A valid request, or the error that it gets.

use axum::http::{
    HeaderMap,
    header::{AUTHORIZATION, CONTENT_TYPE},
    request::Parts,
};
use serde_json::Value;

use crate::{error::ApiError, route::Route};

/// A valid request to one of the known routes. It has the key in it, so it is never printed.
pub(crate) struct Call {
    /// The id of this request, and of its response.
    pub(crate) id: String,
    pub(crate) route: Route,
    pub(crate) key: String,
    /// Empty where the route has none.
    pub(crate) model: String,
    pub(crate) body: Value,
}

impl Call {
    /// Reads and checks a request, in the order the API does: where, who, what.
    pub(crate) fn read(
        route: Route,
        id: &str,
        head: &Parts,
        body: &[u8],
    ) -> Result<Self, ApiError> {
        if route == Route::Other {
            return Err(ApiError::no_route(head.method.as_str(), head.uri.path()));
        }
        let key = bearer(&head.headers).ok_or_else(ApiError::no_key)?;
        let mut call = Self {
            id: id.to_owned(),
            route,
            key,
            model: String::new(),
            body: Value::Null,
        };
        if matches!(route, Route::Models | Route::SupportedModels) {
            return Ok(call);
        }
        announced_as_json(&head.headers, body)?;
        call.body = serde_json::from_slice(body)
            .map_err(|_| ApiError::invalid(None, "The body is not valid JSON."))?;
        call.model = match call.body["model"].as_str() {
            None | Some("") => {
                return Err(ApiError::invalid(Some("model"), "`model` is required."));
            }
            Some(model) if model.starts_with("unknown") => return Err(ApiError::no_model(model)),
            Some(model) => model.to_owned(),
        };
        Ok(call)
    }
}

/// Rejects a body whose `content-type` is missing or is not `application/json`. An empty body needs none.
pub(crate) fn announced_as_json(headers: &HeaderMap, body: &[u8]) -> Result<(), ApiError> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let media = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default();
    match body.is_empty() || media.trim().eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(ApiError::not_json()),
    }
}

/// The key of an `Authorization: Bearer KEY` header, if there is one.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then(|| key.to_owned())
}
