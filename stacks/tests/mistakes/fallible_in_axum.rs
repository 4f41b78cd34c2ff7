//~ fails: E0271
//~ says: Infallible
//~ says: fallback_service

//! A client as an axum service: its errors must first become responses, because the layers keep errors.

use axum::{Router, body::Body};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::Layer;
use tower_together::TogetherLayer;

pub fn app() -> Router {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    Router::new().fallback_service(TogetherLayer::default().layer(client))
}

fn main() {}
