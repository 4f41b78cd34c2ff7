//~ fails: E0277
//~ says: the trait bound `TogetherRetry<TogetherRateLimit<
//~ says: Service<reqwest::Request>` is not satisfied

//! reqwest without the feature `reqwest`.

use tower::{Layer, Service};
use tower_together::TogetherLayer;

pub fn client() -> impl Service<reqwest::Request> {
    TogetherLayer::default().layer(reqwest::Client::new())
}

fn main() {}
