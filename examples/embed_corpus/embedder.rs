//! One request, of texts.

use http::{Method, Request, header::CONTENT_TYPE};
use http_body_util::Full;
use serde_json::json;
use tower_together_jobs::JobsApi;

/// A request to embed these texts.
pub(crate) fn request<S>(
    api: &JobsApi<S>,
    model: &str,
    texts: &[&str],
) -> Request<Full<bytes::Bytes>> {
    let body = json!({"model": model, "input": texts}).to_string();
    api.request(Method::POST, "embeddings")
        .header(CONTENT_TYPE, "application/json")
        .body(body.into())
        .expect("a base URL that was looked at")
}
