//! The HTTP side: the server's own paths, and everything else.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::Response,
    routing::{get, post},
};
use tokio::time::sleep;

use crate::{
    ledger::{Ledger, arrivals_json},
    replies::json_response,
    shared::Shared,
};

/// Paths below `/standin` are about the server; all others are the API's.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/standin/stats", get(stats))
        .route("/standin/arrivals", get(arrivals))
        .route("/standin/reset", post(reset))
        .fallback(api)
        .with_state(shared)
}

async fn api(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.ok();
    let (response, delay) = shared.receive(&head, body.as_deref());
    // The timer has a grain of a millisecond, so it is not asked to wait for nothing.
    if !delay.is_zero() {
        sleep(delay).await;
    }
    response
}

async fn stats(State(shared): State<Arc<Shared>>) -> Response {
    let stats = shared.books().ledger.stats();
    json_response(StatusCode::OK, &stats.json(shared.streams.open()))
}

async fn arrivals(State(shared): State<Arc<Shared>>) -> Response {
    let arrivals = shared.books().ledger.arrivals();
    let mut response = Response::new(Body::from(arrivals_json(&arrivals)));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

async fn reset(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.books().ledger = Ledger::default();
    StatusCode::NO_CONTENT
}

/// Enough for thousands of long inputs, and little enough to hold in memory.
const MAX_BODY: usize = 64 << 20;
