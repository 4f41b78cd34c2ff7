//! One request: texts in, vectors out.

use http::{Method, Request, header::CONTENT_TYPE};
use http_body_util::Full;
use serde::Deserialize;
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

/// A vector for each text, in order.
pub(crate) fn vectors(body: &[u8], wanted: usize) -> Result<Vec<Vec<f32>>, String> {
    #[derive(Deserialize)]
    struct Answer {
        data: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        index: usize,
        embedding: Vec<f32>,
    }
    let answer = serde_json::from_slice::<Answer>(body);
    let mut items = answer
        .map_err(|error| format!("no embeddings: {error}"))?
        .data;
    items.sort_by_key(|item| item.index);
    if !items.iter().map(|item| item.index).eq(0..wanted) {
        return Err(format!("{} embeddings for {wanted} texts", items.len()));
    }
    Ok(items.into_iter().map(|item| item.embedding).collect())
}
