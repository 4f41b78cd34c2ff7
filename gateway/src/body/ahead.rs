//! A request's body as the layers see it. A body that was read ahead lies in memory: its tokens are counted before it
//! is sent, and a retry copies nothing.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use tower_together::body::{ReplayBuffer, RequestBody};

pub(crate) enum Ahead {
    Whole(Full<Bytes>),
    Streams(Body),
}

/// The source from which a retry's body is made.
pub(crate) enum ReplaySource {
    Whole(Full<Bytes>),
    Streams(<Body as RequestBody>::Again),
}

impl RequestBody for Ahead {
    type Again = ReplaySource;

    fn peek<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        match self {
            Self::Whole(body) => body.peek(read),
            Self::Streams(body) => body.peek(read),
        }
    }

    fn replayable(self, memory: &ReplayBuffer) -> (Self, ReplaySource) {
        match self {
            Self::Whole(body) => (Self::Whole(body.clone()), ReplaySource::Whole(body)),
            Self::Streams(body) => {
                let (body, again) = body.replayable(memory);
                (Self::Streams(body), ReplaySource::Streams(again))
            }
        }
    }

    fn again(kept: &ReplaySource) -> Option<Self> {
        match kept {
            ReplaySource::Whole(body) => Some(Self::Whole(body.clone())),
            ReplaySource::Streams(again) => Body::again(again).map(Self::Streams),
        }
    }
}

impl http_body::Body for Ahead {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Self::Streams(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Streams(body) => http_body::Body::is_end_stream(body),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Streams(body) => http_body::Body::size_hint(body),
        }
    }
}
