//~ fails: E0277
//~ says: is not a request body that tower-together knows
//~ says: for the bodies of axum 0.8, reqwest 0.13 and tonic 0.14, and hyper's `Incoming`, enable the feature of that name

//! axum without the feature `axum`.

use axum::{body::Body, extract::Request};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Layer, Service};
use tower_together::TogetherLayer;

pub fn client() -> impl Service<Request> {
    TogetherLayer::default().layer(Client::builder(TokioExecutor::new()).build_http::<Body>())
}

fn main() {}
