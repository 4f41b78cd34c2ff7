use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    Peek,
    timer::Timer,
    watch::{Reader, Readers, Watch},
};
use crate::{
    header::JobsReader,
    limiter::{Permit, SlotGuard},
};

pin_project_lite::pin_project! {
    /// A response's body as it came, with what its request still holds.
    ///
    /// An in-flight slot is given back when the body ends, fails or is dropped: an open stream of
    /// server-sent events counts as under way, until it has been
    /// [silent](crate::Limiter::with_max_silence) for too long. Where tokens are counted, what it says of its usage is
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
#[derive(Default)]
struct Held {
    // Before the slots, which give the next one its turn.
    watch: Option<Box<Watch>>,
    slots: Option<SlotGuard>,
    /// How long nothing of the body has come: since it was first waited for.
    silence: Timer,
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
    /// The server's body, that may tell the limiter more.
    pub(crate) fn watched(body: R, permit: Permit, readers: Readers) -> Self {
        Self::watching(Kind::Inner { body }, permit, readers)
    }

    /// The same, after it was looked at.
    pub(crate) fn peeked_and_watched(body: Peek<R>, permit: Permit, readers: Readers) -> Self {
        let body = Box::new(body);
        Self::watching(Kind::Peeked { body }, permit, readers)
    }

    fn watching(kind: Kind<R>, mut permit: Permit, readers: Readers) -> Self {
        if readers.are_none() || kind.is_end_stream() {
            return Self::holding(kind, Some(permit));
        }
        let held = Held {
            slots: permit.take_slots(),
            watch: Some(Box::new(Watch::new(permit, readers))),
            silence: Timer::default(),
        };
        Self { kind, held }
    }

    /// The server's body, after it was looked at.
    pub(crate) fn peeked(body: Peek<R>, permit: Option<Permit>) -> Self {
        let body = Box::new(body);
        Self::holding(Kind::Peeked { body }, permit)
    }

    /// The server's body, after its beginning did not say which job was created.
    pub(crate) fn peeked_for_job(body: Peek<R>, permit: Permit) -> Self {
        let kind = Kind::Peeked {
            body: Box::new(body),
        };
        let readers = Readers {
            told: Some(Reader::Created(JobsReader::default())),
            ..Readers::default()
        };
        // The slot is taken by the job once it is named. A body that has ended names none.
        let watch = Some(Box::new(Watch::new(permit, readers))).filter(|_| !kind.is_end_stream());
        let held = Held {
            watch,
            ..Held::default()
        };
        Self { kind, held }
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
        let held = Held {
            slots: permit.and_then(Permit::into_slots),
            ..Held::default()
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
        let polled = match this.kind.as_mut().project() {
            KindProj::Inner { body } => body.poll_frame(cx),
            KindProj::Peeked { body } => body.poll_frame(cx),
            KindProj::Own { bytes } => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
        };
        let Poll::Ready(frame) = polled else {
            this.held.wait(cx);
            return Poll::Pending;
        };
        match &frame {
            // Who knows by `is_end_stream` that this was the last frame does not poll again.
            Some(Ok(frame)) => this.held.pass(frame, this.kind.is_end_stream()),
            _ => *this.held = Held::default(),
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

impl Held {
    fn holds_slot(&self) -> bool {
        let watch = self.watch.as_ref();
        self.slots.is_some() || watch.is_some_and(|watch| watch.max_silence().is_some())
    }

    /// More of the body passes.
    fn pass(&mut self, frame: &Frame<Bytes>, is_last: bool) {
        if let (Some(watch), Some(data)) = (&mut self.watch, frame.data_ref()) {
            if !watch.read(data) {
                self.watch = None;
            }
        }
        self.silence = Timer::default();
        if is_last {
            *self = Self::default();
        }
    }

    /// The server has no more of the body yet.
    fn wait(&mut self, cx: &mut Context<'_>) {
        let slots = self.slots.as_ref().map(SlotGuard::max_silence);
        let max = slots.or_else(|| self.watch.as_ref()?.max_silence());
        let max = max.filter(|max| *max < Duration::MAX);
        if max.and_then(|max| self.silence.poll(max, cx)) == Some(Poll::Ready(())) {
            self.slots = None;
            self.watch = self
                .watch
                .take()
                .filter(|watch| watch.max_silence().is_none());
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
        f.debug_struct("ResponseBody")
            .field("own", &matches!(self.kind, Kind::Own { .. }))
            .field("holds_slot", &self.held.holds_slot())
            .field("is_read", &self.held.watch.is_some())
            .finish_non_exhaustive()
    }
}
