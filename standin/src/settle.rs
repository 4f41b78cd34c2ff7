//! Tokens are charged by an estimate, and settled when the response is out.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    Error,
    body::{Body, Bytes},
    response::Response,
};
use http_body::{Frame, SizeHint};

/// A charge to be settled when this is dropped: then the response has been sent, or cannot be.
pub(crate) struct Unsettled(Option<Box<dyn FnOnce() + Send>>);

impl Unsettled {
    pub(crate) fn new(settle: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(settle)))
    }

    /// Is settled with the last frame of a response, or when the response is dropped.
    pub(crate) fn until_sent(self, response: Response) -> Response {
        response.map(|body| {
            Body::new(Sending {
                body,
                unsettled: Some(self),
            })
        })
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if let Some(settle) = self.0.take() {
            settle();
        }
    }
}

/// The body of a response that is not settled.
struct Sending {
    body: Body,
    unsettled: Option<Unsettled>,
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        // Before the client can have read the end, and asks again.
        if this.body.is_end_stream() || matches!(frame, Poll::Ready(None)) {
            this.unsettled = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
