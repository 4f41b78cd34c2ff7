//! The HTTP side: the API's paths, and the server's own.

use std::{
    error::Error,
    iter::successors,
    sync::{Arc, atomic::Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{
        HeaderValue, Request, StatusCode, Version,
        header::{CONNECTION, CONTENT_TYPE},
    },
    response::Response,
    routing::{get, post, put},
};
use hyper::body::{Body as _, Incoming};
use tokio::time::sleep;

use crate::{
    fault::Fault,
    jobs::{STORAGE, Upload},
    json::json_response,
    ledger::{Ledger, arrivals_json},
    shared::Shared,
};

/// Responds to a request to the API.
pub(crate) async fn api(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response, Fault> {
    let (head, body) = request.into_parts();
    let (outcome, delay) = match shared.receive_early(&head) {
        Some((outcome, delay)) if head.version < Version::HTTP_2 && !body.is_end_stream() => {
            // The unread body would precede the next request, so the connection closes, and says so.
            (outcome.map(closing), delay)
        }
        Some(early) => early,
        None => {
            let body = match to_bytes(Body::new(body), MAX_BODY).await {
                Ok(body) => Some(body),
                // It has not arrived: it is not counted, and uses up nothing.
                Err(error) if broke(&error) => return Err(Fault::Reset),
                Err(_) => None,
            };
            let mut head = head;
            if let Some(upload) = Upload::read(&head, body.as_deref().unwrap_or_default()).await {
                head.extensions.insert(upload);
            }
            shared.receive(&head, body.as_deref())
        }
    };
    // The timer has a grain of a millisecond, so it is not asked to wait for nothing.
    if !delay.is_zero() {
        sleep(delay).await;
    }
    outcome
}

/// Whether a body ended before its end, rather than being too large.
fn broke(error: &axum::Error) -> bool {
    let first: &(dyn Error + 'static) = error;
    successors(Some(first), |&error| error.source()).any(|error| error.is::<hyper::Error>())
}

fn closing(mut response: Response) -> Response {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

/// Paths below this are about the server; all others are the API's.
pub(crate) const OWN: &str = "/standin/";

/// Responds to requests about the server.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/standin/stats", get(stats))
        .route("/standin/arrivals", get(arrivals))
        .route("/standin/reset", post(reset))
        .route(&format!("{STORAGE}{{id}}"), put(store))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

async fn stats(State(shared): State<Arc<Shared>>) -> Response {
    let books = shared.books();
    let mut json = books.ledger.stats().json();
    json["open_streams"] = shared.manner.streams.open().into();
    json["connections"] = shared.connections.load(Ordering::Relaxed).into();
    json["accepted_connections"] = shared.connected.load(Ordering::Relaxed).into();
    if let Some(chaos) = &books.chaos {
        json["faults"] = chaos.counts().into_iter().collect();
    }
    json_response(StatusCode::OK, &json)
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

async fn store(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    bytes: Bytes,
) -> StatusCode {
    shared.books().world.store(&id, bytes)
}

/// Enough for the largest batch file, and little enough to hold in memory.
const MAX_BODY: usize = 128 << 20;
