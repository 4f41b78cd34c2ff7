//~ fails: E0277
//~ says: the trait bound `ServiceBuilder<
//~ says: Middleware` is not satisfied

//! A `ServiceBuilder` as middleware of reqwest-middleware, which takes each layer by itself.

use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tower::ServiceBuilder;
use tower_together::{TogetherRateLimitLayer, TogetherRetryLayer};

pub fn client() -> ClientWithMiddleware {
    let layers = ServiceBuilder::new()
        .layer(TogetherRetryLayer::default())
        .layer(TogetherRateLimitLayer::default());
    ClientBuilder::new(reqwest::Client::new()).with(layers).build()
}

fn main() {}
