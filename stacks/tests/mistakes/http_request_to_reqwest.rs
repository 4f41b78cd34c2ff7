//~ fails: E0308
//~ says: http::Request<&str>
//~ says: reqwest::Request

//! One of http's requests to reqwest's client: for these there is `HttpOverReqwest`.

use tower::{Layer, ServiceExt};
use tower_together::TogetherLayer;

pub async fn send(request: http::Request<&'static str>) {
    let client = TogetherLayer::default().layer(reqwest::Client::new());
    let _ = client.oneshot(request).await;
}

fn main() {}
