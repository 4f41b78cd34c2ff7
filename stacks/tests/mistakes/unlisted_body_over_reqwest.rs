//~ fails: E0277
//~ says: is not a request body that reqwest 0.13 can send
//~ says: make reqwest's own of it: `request.map(reqwest::Body::wrap)`

//! A body that reqwest does not know, over `HttpOverReqwest`.

use axum::body::Body;
use http::Request;
use tower::Service;
use tower_together::stack::HttpOverReqwest;

pub fn client() -> impl Service<Request<Body>> {
    HttpOverReqwest::<_, Body>::new(reqwest::Client::new())
}

fn main() {}
