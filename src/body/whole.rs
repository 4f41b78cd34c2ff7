use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Peek;

pin_project_lite::pin_project! {
    /// A server's response body, complete from its first frame; or a body created by a layer.
    pub struct Whole<R>
    where
        R: Body,
    {
        #[pin]
        kind: Kind<R>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<R>
    where
        R: Body,
    {
        Inner { #[pin] body: R },
        Peeked { body: Box<Peek<R>> },
        Own { bytes: Option<Bytes> },
    }
}

impl<R: Body<Data = Bytes>> Whole<R> {
    /// The server's body.
    pub(crate) fn inner(body: R) -> Self {
        let kind = Kind::Inner { body };
        Self { kind }
    }

    /// A server's body, after it was peeked at.
    pub(crate) fn peeked(body: Peek<R>) -> Self {
        let body = Box::new(body);
        let kind = Kind::Peeked { body };
        Self { kind }
    }

    /// A layer's own body.
    pub(crate) fn own(bytes: Bytes) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        let kind = Kind::Own { bytes };
        Self { kind }
    }
}

impl<R: Body<Data = Bytes>> Body for Whole<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        match self.project().kind.project() {
            KindProj::Inner { body } => body.poll_frame(cx),
            KindProj::Peeked { body } => body.poll_frame(cx),
            KindProj::Own { bytes } => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Peeked { body } => body.is_end_stream(),
            Kind::Own { bytes } => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Peeked { body } => body.size_hint(),
            Kind::Own { bytes } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}

impl<R: Body> fmt::Debug for Whole<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whole")
            .field("own", &matches!(self.kind, Kind::Own { .. }))
            .finish_non_exhaustive()
    }
}
