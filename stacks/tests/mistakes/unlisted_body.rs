//~ fails: E0277
//~ says: StreamBody<
//~ says: is not a request body that tower-together knows
//~ says: wrap any other body: `tower_together::body::Opaque::new(body)`

//! An unlisted body, in a program that names the stack's type.

use bytes::Bytes;
use futures::stream::Empty;
use http::Request;
use http_body::Frame;
use http_body_util::StreamBody;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Layer, Service};
use tower_together::TogetherLayer;

type Body = StreamBody<Empty<Result<Frame<Bytes>, std::io::Error>>>;

pub fn client() -> impl Service<Request<Body>> {
    TogetherLayer::default().layer(Client::builder(TokioExecutor::new()).build_http::<Body>())
}

fn main() {}
