//~ fails: E0277
//~ says: the trait bound `Infallible: From<

//! A stack with an error of its own as a layer of an axum app.

use axum::Router;
use tower::{BoxError, ServiceBuilder};
use tower_together::TogetherLayer;

pub fn app() -> Router {
    let stack = ServiceBuilder::new()
        .map_err(BoxError::from)
        .layer(TogetherLayer::default());
    Router::new().layer(stack)
}

fn main() {}
