//! One request: texts in, vectors out.

use std::fmt;

use bytes::Bytes;
use http::{
    HeaderValue, Request, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_together::{Rejected, limiter::Reason};

use crate::{
    args::Args,
    client::{Sender, with_causes},
    target::Target,
};

/// Embeds texts, as many as one request takes.
pub(crate) struct Embedder {
    service: Sender,
    embeddings: Uri,
    key: HeaderValue,
    model: String,
}

/// Why there are no vectors.
pub(crate) enum Failure {
    /// The limiter was closed before the request's turn came.
    NotSent,
    /// The server, or the way there, failed.
    Failed(String),
}

impl Embedder {
    pub(crate) fn new(service: Sender, target: &Target, args: &Args) -> Self {
        Self {
            service,
            embeddings: target.embeddings.clone(),
            key: target.key.clone(),
            model: args.model.clone(),
        }
    }

    /// A vector for each text, in order.
    pub(crate) async fn embed(&self, texts: Vec<&str>) -> Result<Vec<Vec<f32>>, Failure> {
        let request = self.request(&texts)?;
        let answer = self.service.clone().oneshot(request).await;
        let answer = answer.map_err(|error| Failure::Failed(with_causes(&*error)))?;
        let rejected = answer.extensions().get::<Rejected>();
        if rejected.is_some_and(|rejected| rejected.reason() == Reason::Closed) {
            return Err(Failure::NotSent);
        }
        if !answer.status().is_success() {
            let status = answer.status();
            let message = message(answer.body()).unwrap_or_default();
            return Err(Failure::Failed(format!("{status}{message}")));
        }
        vectors(answer.body(), texts.len()).map_err(Failure::Failed)
    }

    fn request(&self, texts: &[&str]) -> Result<Request<Full<Bytes>>, Failure> {
        let body = json!({"model": self.model, "input": texts}).to_string();
        Request::post(&self.embeddings)
            .header(AUTHORIZATION, &self.key)
            .header(CONTENT_TYPE, "application/json")
            // Cloudflare, in front of the API, refuses requests that do not say who sends them.
            .header(
                USER_AGENT,
                concat!("tower-together/", env!("CARGO_PKG_VERSION")),
            )
            .body(body.into())
            .map_err(|error| Failure::Failed(error.to_string()))
    }
}

fn vectors(body: &[u8], wanted: usize) -> Result<Vec<Vec<f32>>, String> {
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

/// What the API says of an error; `error` is an object or a string, depending on the endpoint.
fn message(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let error = body.get("error").unwrap_or(&body);
    let message = error.get("message").unwrap_or(error).as_str()?;
    Some(format!(": {message}"))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent => f.write_str("not sent"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}
