//! One request: texts in, vectors out.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;
use tower::ServiceExt;
use tower_together::{ApiError, Rejected, limiter::Reason};

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
    /// How often a request is made anew that the layers gave up on.
    resubmits: u32,
    /// Whether the server has answered anything at all.
    answered: AtomicBool,
}

/// Why there are no vectors.
pub(crate) enum Failure {
    /// The limiter was closed before the request's turn came.
    NotSent,
    /// The server, or the way there, failed, and may not next time.
    Passing(String),
    /// It will fail next time too.
    Failed(String),
}

impl Embedder {
    pub(crate) fn new(service: Sender, target: &Target, args: &Args) -> Self {
        Self {
            service,
            embeddings: target.embeddings.clone(),
            key: target.key.clone(),
            model: args.model.clone(),
            resubmits: if args.without_limiter { 0 } else { RESUBMITS },
            answered: AtomicBool::new(false),
        }
    }

    /// A vector for each text, in order.
    ///
    /// The layers give up after some seconds, as they should for a caller who waits; a job of hours
    /// has the time to make the request anew until a longer outage is over. A server that was never
    /// there is not waited for.
    pub(crate) async fn embed(&self, texts: Vec<&str>) -> Result<Vec<Vec<f32>>, Failure> {
        let mut resubmits = self.resubmits;
        loop {
            let answer = self.once(&texts).await;
            if answer.is_ok() {
                self.answered.store(true, Relaxed);
            }
            let passing = matches!(answer, Err(Failure::Passing(_)));
            if !passing || resubmits == 0 || !self.answered.load(Relaxed) {
                return answer;
            }
            resubmits -= 1;
            sleep(BETWEEN_SUBMITS).await;
        }
    }

    async fn once(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Failure> {
        let request = self.request(texts)?;
        let answer = self.service.clone().oneshot(request).await;
        let answer = answer.map_err(|error| Failure::Passing(with_causes(&*error)))?;
        let rejected = answer.extensions().get::<Rejected>();
        if rejected.is_some_and(|rejected| rejected.reason() == Reason::Closed) {
            return Err(Failure::NotSent);
        }
        let status = answer.status();
        if !status.is_success() {
            let error = ApiError::parse(status, answer.headers(), answer.body());
            let passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            return Err(match passing && !error.is_out_of_money() {
                true => Failure::Passing(error.to_string()),
                false => Failure::Failed(error.to_string()),
            });
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

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent => f.write_str("not sent"),
            Self::Passing(why) | Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Together they outlast an outage of a minute and a half.
const RESUBMITS: u32 = 8;
const BETWEEN_SUBMITS: Duration = Duration::from_secs(5);
