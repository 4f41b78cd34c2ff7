//! A long response, as a stream of server-sent events.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};

/// A chat's response, one token per frame, as Together streams it if `include_usage` asks for the usage. Each chunk has
/// a usage, and only the last one's is not null.
pub(crate) struct Events {
    sent: usize,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { sent: 0 }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let event = match self.sent {
            ..TOKENS => TOKEN,
            TOKENS => LAST,
            DONE_AT => DONE,
            _ => return Poll::Ready(None),
        };
        self.sent += 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(event.as_bytes())))))
    }
}

pub(crate) const TOKENS: usize = 10_000;
const DONE_AT: usize = TOKENS + 1;

const TOKEN: &str = concat!(
    r#"data: {"id":"oBwQsFG-3NKUce","object":"chat.completion.chunk","#,
    r#""created":1767225600,"model":"openai/gpt-oss-20b","#,
    r#""choices":[{"index":0,"delta":{"content":" amet"},"finish_reason":null}],"usage":null}"#,
    "\n\n"
);
const _: () = assert!(TOKEN.len() == 200);

const LAST: &str = concat!(
    r#"data: {"id":"oBwQsFG-3NKUce","object":"chat.completion.chunk","#,
    r#""created":1767225600,"model":"openai/gpt-oss-20b","#,
    r#""choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}],"#,
    r#""usage":{"prompt_tokens":256,"completion_tokens":10000,"total_tokens":10256}}"#,
    "\n\n"
);

const DONE: &str = "data: [DONE]\n\n";
