//~ fails: E0308
//~ says: found `RequestBuilder`

//! A reqwest request that is not built yet: `.build()?` is missing.

use tower::{Layer, ServiceExt};
use tower_together::TogetherLayer;

pub async fn send(http: reqwest::Client) {
    let client = TogetherLayer::default().layer(http.clone());
    let _ = client
        .oneshot(http.get("https://api.together.ai/v1/models"))
        .await;
}

fn main() {}
