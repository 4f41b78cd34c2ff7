//~ fails: E0277
//~ says: TogetherRetry<TogetherRateLimit<
//~ says: Service<reqwest::Request>

//! reqwest without the feature `reqwest`.

use tower::{Layer, Service};
use tower_together::TogetherLayer;

pub fn client() -> impl Service<reqwest::Request> {
    TogetherLayer::default().layer(reqwest::Client::new())
}

fn main() {}
