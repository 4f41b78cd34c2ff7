//! The request that a caller makes, whatever its client.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Request, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use tower_together::extension::Deadline;

pub(crate) const PATH: &str = "/v1/chat/completions";

/// A body in one piece, or in many.
pub(crate) type AnyBody = BoxBody<Bytes, Infallible>;

/// One chat completion.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) words: String,
    pub(crate) kind: Kind,
    pub(crate) deadline: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request and the response have one piece each.
    Whole,
    /// The response arrives in pieces.
    Streamed,
    /// The request is sent in pieces.
    Upload,
}

impl Ask {
    pub(crate) fn whole(words: &str) -> Self {
        let (words, kind) = (words.to_owned(), Kind::Whole);
        Self {
            words,
            kind,
            deadline: None,
        }
    }

    pub(crate) fn streamed(words: &str) -> Self {
        let kind = Kind::Streamed;
        Self {
            kind,
            ..Self::whole(words)
        }
    }

    /// A megabyte and a half, in which no two lines are alike.
    pub(crate) fn upload() -> Self {
        let lines = (0..UPLOAD / 8).map(|line| format!("{line:07}\n"));
        let (words, kind) = (lines.collect(), Kind::Upload);
        Self {
            words,
            kind,
            deadline: None,
        }
    }

    pub(crate) fn within(self, deadline: Duration) -> Self {
        let deadline = Some(deadline);
        Self { deadline, ..self }
    }

    /// The pieces of an upload.
    pub(crate) fn pieces(&self) -> Vec<String> {
        let pieces = self.words.as_bytes().chunks(PIECE);
        pieces
            .map(|piece| String::from_utf8_lossy(piece).into_owned())
            .collect()
    }

    pub(crate) fn json(&self) -> Bytes {
        let json = serde_json::json!({
            "model": "m",
            "stream": self.kind == Kind::Streamed,
            "messages": [{"role": "user", "content": self.words}],
        });
        Bytes::from(json.to_string())
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        let json = HeaderValue::from_static("application/json");
        let key = HeaderValue::from_static("Bearer key");
        let mark = HeaderValue::from_static(MARK);
        let headers = [(header::CONTENT_TYPE, json), (header::AUTHORIZATION, key)];
        let mut headers: HeaderMap = headers.into_iter().collect();
        headers.insert("x-mark", mark);
        headers
    }

    /// The HTTP request, with the deadline as an extension.
    pub(crate) fn http(&self, url: &str) -> Request<AnyBody> {
        let body = match self.kind {
            Kind::Whole | Kind::Streamed => Full::from(self.json()).boxed(),
            Kind::Upload => {
                let pieces = self.pieces().into_iter();
                let frames = pieces.map(|piece| Ok(Frame::data(Bytes::from(piece))));
                BodyExt::boxed(StreamBody::new(stream::iter(frames)))
            }
        };
        let mut request = Request::post(format!("{url}{PATH}")).body(body).unwrap();
        *request.headers_mut() = self.headers();
        if let Some(deadline) = self.deadline {
            request.extensions_mut().insert(Deadline::within(deadline));
        }
        request
    }

    /// The HTTP request, with the deadline as a header.
    pub(crate) fn over_the_wire(&self, url: &str) -> Request<AnyBody> {
        let mut request = self.http(url);
        if let Some(deadline) = self.deadline {
            let headers = request.headers_mut();
            headers.insert(TIMEOUT, deadline.as_secs().into());
        }
        request
    }
}

/// A header of the caller's own.
pub(crate) const MARK: &str = "the caller's own";
/// The header in which the Stainless SDKs state their timeout.
pub(crate) const TIMEOUT: &str = "x-stainless-timeout";
/// Less than the 2 MiB of one body that the retry layer keeps.
const UPLOAD: usize = 3 << 19;
const PIECE: usize = 1 << 16;
