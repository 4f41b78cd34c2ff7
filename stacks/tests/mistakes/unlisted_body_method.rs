//~ fails: E0599
//~ says: the method `oneshot` exists for struct `TogetherRetry<
//~ says: but its trait bounds were not satisfied

//! An unlisted body, sent by a method call.

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
    let _ = client.oneshot(request).await;
}

fn main() {}
