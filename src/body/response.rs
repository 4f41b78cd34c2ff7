use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    Peek,
    watch::{Reader, Watch},
};
use crate::limiter::{Permit, Slots};

pin_project_lite::pin_project! {
    /// A response's body as it came, with what its request still holds.
    ///
    /// An in-flight slot is given back when the body ends, fails or is dropped: an open stream of
    /// server-sent events counts as under way. Where tokens are counted, what it says of its usage is
    /// read as it passes, and settled then too; so is which jobs have ended, where some hold slots.
    pub struct ResponseBody<R>
    where
        R: Body,
    {
        #[pin]
        kind: Kind<R>,
        held: Held,
    }
}

/// What the request still holds.
enum Held {
    Nothing,
    Slots { _given_back: Slots },
    Watch(Box<Watch>),
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

impl<R: Body<Data = Bytes>> ResponseBody<R> {
    /// The server's body. The permit is kept only if it holds something to give back.
    pub(crate) fn inner(body: R, permit: Permit) -> Self {
        Self::holding(Kind::Inner { body }, Some(permit))
    }

    /// The server's body, that may say what its request cost, or that jobs have ended.
    pub(crate) fn watched(body: R, permit: Permit, reader: Reader) -> Self {
        let kind = Kind::Inner { body };
        if kind.is_end_stream() {
            return Self::holding(kind, None);
        }
        let held = Held::Watch(Box::new(Watch::new(permit, reader)));
        Self { kind, held }
    }

    /// The server's body, after it was looked at.
    pub(crate) fn peeked(body: Peek<R>, permit: Option<Permit>) -> Self {
        let body = Box::new(body);
        Self::holding(Kind::Peeked { body }, permit)
    }

    /// The server's body, of a request that holds nothing.
    pub(crate) fn untouched(body: R) -> Self {
        Self::holding(Kind::Inner { body }, None)
    }

    /// A body of our own.
    pub(crate) fn own(bytes: Bytes) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self::holding(Kind::Own { bytes }, None)
    }

    fn holding(kind: Kind<R>, permit: Option<Permit>) -> Self {
        let permit = permit.filter(|_| !kind.is_end_stream());
        let held = match permit.and_then(Permit::into_slots) {
            Some(slots) => Held::Slots { _given_back: slots },
            None => Held::Nothing,
        };
        Self { kind, held }
    }
}

impl<R: Body<Data = Bytes>> Body for ResponseBody<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let mut this = self.project();
        let frame = match this.kind.as_mut().project() {
            KindProj::Inner { body } => ready!(body.poll_frame(cx)),
            KindProj::Peeked { body } => ready!(body.poll_frame(cx)),
            KindProj::Own { bytes } => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
        };
        if let (Held::Watch(watch), Some(Ok(frame))) = (&mut *this.held, &frame) {
            if let Some(data) = frame.data_ref() {
                watch.read(data);
            }
        }
        // Who knows by `is_end_stream` that this was the last frame does not poll again.
        if !matches!(frame, Some(Ok(_))) || this.kind.is_end_stream() {
            *this.held = Held::Nothing;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.kind.is_end_stream()
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

impl<R: Body<Data = Bytes>> Kind<R> {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Inner { body } => body.is_end_stream(),
            Self::Peeked { body } => body.is_end_stream(),
            Self::Own { bytes } => bytes.is_none(),
        }
    }
}

impl<R: Body> fmt::Debug for ResponseBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (holds_slot, is_read) = match &self.held {
            Held::Nothing => (false, false),
            Held::Slots { .. } => (true, false),
            Held::Watch(watch) => (watch.holds_slot(), true),
        };
        f.debug_struct("ResponseBody")
            .field("own", &matches!(self.kind, Kind::Own { .. }))
            .field("holds_slot", &holds_slot)
            .field("is_read", &is_read)
            .finish_non_exhaustive()
    }
}
