//~ fails: E0277
//~ says: From<bytes::Bytes>` is not satisfied

//! A fallback layer, which changes the model in a body, over a body that cannot be made of bytes.

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Layer, Service};
use tower_together::TogetherFallbackLayer;

type Body = Empty<Bytes>;

pub fn client() -> impl Service<Request<Body>> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    TogetherFallbackLayer::new().layer(client)
}

fn main() {}
