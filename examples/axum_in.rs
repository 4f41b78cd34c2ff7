//! An axum app that limits its own callers. Each caller is identified by the key in `authorization`, or by an `ApiKey`
//! extension that an outer layer inserts. `Infallible` stays `Infallible`: a rejection is a 429 with `Retry-After`. The
//! app decides which routes count, and as which endpoint.

use std::time::Duration;

use axum::{Router, body::Body, http::Request, routing::post};
use tower::ServiceExt;
use tower_together::{Classify, Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer};
use tower_together_stacks::{ExampleError, report};

const GENERATE: Endpoint = Endpoint::custom("generate");

#[tokio::main]
async fn main() -> Result<(), ExampleError> {
    // The stack: one a minute for each key, and no request waits.
    let limits = Limits::none().requests(GENERATE, Quota::per_minute(1)?);
    let limiter = Limiter::new(limits).with_max_wait(Duration::ZERO);
    let classify =
        Classify::together().with(|_, uri| (uri.path() == "/generate").then_some(GENERATE));
    let layer = TogetherRateLimitLayer::from(limiter).with_classify(classify);
    let app = Router::new()
        .route("/generate", post(async || "hello"))
        .layer(layer);

    for key in ["alice", "alice", "bob"] {
        let request = Request::post("/generate").header("authorization", format!("Bearer {key}"));
        // Calls the app as `axum::serve(listener, app)` would:
        let response = app.clone().oneshot(request.body(Body::empty())?).await?;
        report(response.status(), response.extensions())?;
    }
    Ok(())
}
