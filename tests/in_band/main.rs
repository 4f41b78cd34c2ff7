//! Errors in the body of a success: the layer that reads them counts them as the status that they name.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod any_body;
mod found;
mod pauses;
mod retries;

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use http::{Method, Request, Response, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::{Instant, sleep};
use tower::{Service, service_fn};
use tower_together::{Endpoint, Limits, Quota};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const TOO_FAST: &str = r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#;

type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// A response: its type, and its body's pieces, each with the milliseconds since the one before.
#[derive(Clone)]
struct Reply(&'static str, Vec<(u64, Vec<u8>)>);

fn reply(kind: &'static str, body: impl Into<Vec<u8>>) -> Reply {
    Reply(kind, vec![(0, body.into())])
}

fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

impl Reply {
    fn response(self) -> Response<Body> {
        let Self(kind, pieces) = self;
        let frames = stream::iter(pieces).then(|(wait, bytes)| async move {
            if wait > 0 {
                sleep(Duration::from_millis(wait)).await;
            }
            Ok(Frame::data(Bytes::from(bytes)))
        });
        let response = Response::builder().header(CONTENT_TYPE, kind);
        response.body(StreamBody::new(frames.boxed())).unwrap()
    }
}

/// A server that gives scripted responses, and records when it was called.
#[derive(Clone)]
struct Server {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Server {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            replies: Arc::new(Mutex::new(replies.into_iter().collect())),
            asked: Arc::default(),
        }
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn service(
        &self,
    ) -> impl Service<
        Request<Full<Bytes>>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + use<> {
        let server = self.clone();
        service_fn(move |_| {
            server.asked.lock().unwrap().push(Instant::now());
            let reply = server.replies.lock().unwrap().pop_front();
            let reply = reply.unwrap_or_else(|| reply_of("{}"));
            async { Ok(reply.response()) }
        })
    }
}

fn reply_of(body: &str) -> Reply {
    reply(JSON, body)
}

fn post(path: &str) -> Request<Full<Bytes>> {
    let uri = format!("https://api.together.ai/v1/{path}");
    let request = Request::builder().method(Method::POST).uri(uri);
    request.body(Full::from(r#"{"model":"m"}"#)).unwrap()
}

fn chat() -> Request<Full<Bytes>> {
    post("chat/completions")
}

fn limits() -> Limits {
    let quota = Quota::per_second(100).unwrap();
    Limits::none().requests(Endpoint::ChatCompletions, quota)
}

async fn text<B>(response: Response<B>) -> String
where
    B: http_body::Body<Error: std::fmt::Debug>,
{
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}
