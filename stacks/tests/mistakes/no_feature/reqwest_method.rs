//~ fails: E0599
//~ says: the method `oneshot` exists for struct `TogetherRetry<
//~ says: but its trait bounds were not satisfied

//! reqwest without the feature `reqwest`, in a program that sends by a method call.

use tower::{Layer, ServiceExt};
use tower_together::TogetherLayer;

pub async fn send(request: reqwest::Request) {
    let client = TogetherLayer::default().layer(reqwest::Client::new());
    let _ = client.oneshot(request).await;
}

fn main() {}
