//! The response that a caller gets, whatever its client.

use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use http::{Extensions, HeaderMap, Response};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::Value;
use tower_together::{
    Rejected,
    extension::{RetryReport, Waited},
};

use crate::ask::Kind;

/// A response, in HTTP's terms.
pub(crate) struct AnyResponse {
    pub(crate) status: u16,
    /// The upstream's text, or the error's message.
    pub(crate) text: String,
    /// The bytes, if the stack shows them.
    pub(crate) bytes: Option<Bytes>,
    /// An error's code, if the stack shows it.
    pub(crate) code: Option<String>,
    /// The wait before a retry in milliseconds, if the stack shows it.
    pub(crate) retry_after: Option<u64>,
    /// The layers' reports, if the stack shows them.
    pub(crate) seen: Option<Seen>,
    /// The pieces of a stream.
    pub(crate) pieces: BoxStream<'static, String>,
}

/// The layers' reports in a response's extensions.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) waited: bool,
    pub(crate) attempts: u32,
    pub(crate) rejected: Option<String>,
}

impl AnyResponse {
    pub(crate) fn new(status: u16, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            bytes: None,
            code: None,
            retry_after: None,
            seen: None,
            pieces: stream::empty().boxed(),
        }
    }

    pub(crate) async fn http<B>(response: Response<B>, kind: Kind) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Debug,
    {
        let (head, body) = response.into_parts();
        let mut response = Self::new(head.status.as_u16(), "");
        response.seen = Some(Seen::said(&head.headers, &head.extensions));
        let seconds = head.headers.get("retry-after");
        let seconds = seconds.map(|value| value.to_str().unwrap().parse::<u64>().unwrap());
        response.retry_after = seconds.map(|seconds| seconds * 1_000);
        if kind == Kind::Streamed && head.status.is_success() {
            response.pieces = events(body).boxed();
            return response;
        }
        let bytes = body.collect().await.unwrap().to_bytes();
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        let text = json["text"].as_str().or(json["error"]["message"].as_str());
        response.text = text.unwrap().to_owned();
        response.code = json["error"]["code"].as_str().map(str::to_owned);
        response.bytes = Some(bytes);
        response
    }
}

/// The text of server-sent events, each as soon as it is complete.
fn events<B>(body: B) -> impl futures::Stream<Item = String> + Send
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Debug,
{
    let begun = (Box::pin(body), String::new());
    stream::unfold(begun, async |(mut body, mut text)| {
        loop {
            if let Some((event, rest)) = text.split_once("\n\n") {
                let data = event.strip_prefix("data: ").unwrap();
                let json: Value = serde_json::from_str(data).unwrap_or_default();
                let words = json["choices"][0]["delta"]["content"].as_str();
                let words = words.map(str::to_owned);
                text = rest.to_owned();
                match words {
                    Some(words) => return Some((words, (body, text))),
                    None => continue,
                }
            }
            let frame = body.frame().await?.unwrap();
            let data = frame.into_data().unwrap_or_default();
            text.push_str(std::str::from_utf8(&data).unwrap());
        }
    })
}

impl Seen {
    pub(crate) fn shown(extensions: &Extensions) -> Self {
        let report = extensions.get::<RetryReport>();
        let rejected = extensions.get::<Rejected>();
        Self {
            waited: extensions.get::<Waited>().is_some(),
            attempts: report.map_or(1, RetryReport::attempts),
            rejected: rejected.map(|rejected| rejected.reason().name().to_owned()),
        }
    }

    /// Copies the extensions into headers, because extensions are not sent over a socket.
    pub(crate) fn tell<B>(mut response: Response<B>) -> Response<B> {
        let seen = Self::shown(response.extensions());
        let headers = response.headers_mut();
        headers.insert("x-waited", u32::from(seen.waited).into());
        headers.insert("x-attempts", seen.attempts.into());
        let rejected = seen.rejected.unwrap_or_default();
        headers.insert("x-rejected", rejected.parse().unwrap());
        response
    }

    /// Reads the reports from headers, or else from extensions.
    pub(crate) fn said(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        let Some(waited) = text("x-waited") else {
            return Self::shown(extensions);
        };
        let rejected = text("x-rejected").unwrap().to_owned();
        Self {
            waited: waited == "1",
            attempts: text("x-attempts").unwrap().parse().unwrap(),
            rejected: Some(rejected).filter(|rejected| !rejected.is_empty()),
        }
    }
}
