//~ fails: E0277 E0308
//~ says: the trait bound `Client: tower::Service<http::request::Request<_>>` is not satisfied

//! reqwest without the feature `reqwest`, in a program that sends.

use tower::{Layer, ServiceExt};
use tower_together::TogetherLayer;

pub async fn send(request: reqwest::Request) {
    let client = TogetherLayer::default().layer(reqwest::Client::new());
    let _ = ServiceExt::oneshot(client, request).await;
}

fn main() {}
