//~ fails: E0308
//~ says: http::Request<&str>
//~ says: reqwest::Request

//! An `http::Request` given to reqwest's client, which needs `HttpOverReqwest` for it.

use tower::{Layer, ServiceExt};
use tower_together::TogetherLayer;

pub async fn send(request: http::Request<&'static str>) {
    let client = TogetherLayer::default().layer(reqwest::Client::new());
    let _ = client.oneshot(request).await;
}

fn main() {}
