//! The routes: maps paths to handlers.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Extension, Request, State},
    handler::Handler,
    middleware::{Next, from_fn_with_state, map_response_with_state},
    response::Response,
    routing::get,
};
use http::{HeaderValue, StatusCode, Version, header::CONNECTION};

use crate::{
    access::cors,
    call::forward::forward,
    connection::Peer,
    gateway::Gateway,
    metrics,
    page::{self, lanes},
};

pub(crate) fn app(gateway: Arc<Gateway>) -> Router {
    // CORS does not cover the gateway's own pages: from this machine they need no token, so any site could read them.
    let pages = from_fn_with_state(Arc::clone(&gateway), serve_pages);
    Router::new()
        .route("/", get(page::page))
        .route("/lanes", get(lanes::lanes))
        .route("/metrics", get(metrics::metrics))
        .route_layer(from_fn_with_state(Arc::clone(&gateway), look))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .fallback(forward.layer(pages))
        .with_state(Arc::clone(&gateway))
        .layer(map_response_with_state(gateway, make_room))
}

/// Reports whether the gateway takes calls.
async fn ready(State(gateway): State<Arc<Gateway>>) -> (StatusCode, &'static str) {
    match gateway.shutdown.is_closing() {
        false => (StatusCode::OK, "ok\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
    }
}

/// Lets pages of other sites call if the gateway has tokens.
async fn serve_pages(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    if !gateway.access.wants_token() || !cors::is_of_page(request.headers()) {
        return next.run(request).await;
    }
    if let Some(response) = cors::preflight(&request) {
        return response;
    }
    let mut response = next.run(request).await;
    cors::allow(response.headers_mut());
    response
}

/// Closes the connection after its response while descriptors are scarce, so that another program's is accepted.
async fn make_room(State(gateway): State<Arc<Gateway>>, mut response: Response) -> Response {
    if gateway.descriptors.are_scarce() && response.version() < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// Restricts the gateway's own pages, although they hold no secrets.
async fn look(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let rejection = gateway
        .access
        .rejects_look(request.uri(), request.headers(), peer.ip());
    match rejection {
        Some(rejection) => rejection,
        None => next.run(request).await,
    }
}
