//~ fails: E0308
//~ says: found `RequestBuilder`

//! A request of reqwest's that is not built yet: `.build()?`.

use tower::{Layer, ServiceExt};
use tower_together::TogetherLayer;

pub async fn send(http: reqwest::Client) {
    let client = TogetherLayer::default().layer(http.clone());
    let _ = client
        .oneshot(http.get("https://api.together.ai/v1/models"))
        .await;
}

fn main() {}
