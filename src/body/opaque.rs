use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};

use super::RequestBody;

pin_project_lite::pin_project! {
    /// Any body at all, never looked at.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Opaque<B> {
        #[pin]
        body: B,
    }
}

impl<B> Opaque<B> {
    /// Wraps a body.
    pub fn new(body: B) -> Self {
        Self { body }
    }

    /// The body.
    pub fn into_inner(self) -> B {
        self.body
    }
}

impl<B> RequestBody for Opaque<B> {
    fn peek<T>(&mut self, _: impl FnOnce(&[u8]) -> T) -> Option<T> {
        None
    }
}

impl<B: Body> Body for Opaque<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
