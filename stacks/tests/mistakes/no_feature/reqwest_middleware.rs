//~ fails: E0277
//~ says: the trait bound `TogetherLayer: reqwest_middleware::Middleware` is not satisfied

//! reqwest-middleware without the feature `reqwest-middleware`.

use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tower_together::TogetherLayer;

pub fn client() -> ClientWithMiddleware {
    ClientBuilder::new(reqwest::Client::new())
        .with(TogetherLayer::default())
        .build()
}

fn main() {}
