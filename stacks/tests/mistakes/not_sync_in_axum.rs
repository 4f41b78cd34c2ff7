//~ fails: E0277
//~ says: cannot be shared between threads safely
//~ says: BoxCloneService<
//~ says: fallback_service

//! `BoxCloneService` in axum, which requires `Sync`: `BoxCloneSyncService` is `Sync`.

use std::convert::Infallible;

use axum::{Router, extract::Request, response::Response};
use tower::{Layer, util::BoxCloneService};
use tower_together::TogetherLayer;

pub fn app(upstream: BoxCloneService<Request, Response, Infallible>) -> Router {
    Router::new().fallback_service(TogetherLayer::default().layer(upstream))
}

fn main() {}
