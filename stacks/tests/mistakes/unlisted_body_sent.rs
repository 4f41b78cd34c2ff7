//~ fails: E0277
//~ says: StreamBody<
//~ says: is not a request body that tower-together knows
//~ says: wrap any other body: `tower_together::body::Opaque::new(body)`

//! An unlisted body, in a program that sends it. (The method call `client.oneshot(request)` names no bound of ours:
//! see `unlisted_body_method`.)

use bytes::Bytes;
use futures::stream::Empty;
use http::Request;
use http_body::Frame;
use http_body_util::StreamBody;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Layer, ServiceExt};
use tower_together::TogetherLayer;

type Body = StreamBody<Empty<Result<Frame<Bytes>, std::io::Error>>>;

pub async fn send(request: Request<Body>) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let client = TogetherLayer::default().layer(client);
    let _ = ServiceExt::oneshot(client, request).await;
}

fn main() {}
