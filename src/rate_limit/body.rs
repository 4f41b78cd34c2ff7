use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::body_reader::{BodyReader, Reader, Readers};
use crate::{
    body::{Timer, Whole},
    limiter::{Permit, SlotGuard},
    wire::response::JobsReader,
};

pin_project_lite::pin_project! {
    /// A response's body, unchanged, with the slots that its request holds.
    ///
    /// An in-flight slot is released when the body ends, fails or is dropped. An open stream of server-sent events
    /// counts as in flight until it has been [silent](crate::Limiter::with_max_silence) for too long. If tokens are
    /// counted, the body's usage is read as it passes, and settled at its end. If jobs hold slots, the body is also
    /// read for jobs that have ended.
    pub struct ResponseBody<R>
    where
        R: Body,
    {
        #[pin]
        body: Whole<R>,
        held: Held,
    }
}

/// The slots and readers that the body keeps.
#[derive(Default)]
struct Held {
    // Dropped before the slots, which let the next request leave.
    reader: Option<Box<BodyReader>>,
    slots: Option<SlotGuard>,
    /// Runs from the first wait for a frame that has not come.
    silence: Timer,
}

impl<R: Body<Data = Bytes>> ResponseBody<R> {
    /// A body without slots or readers.
    pub(super) fn of(body: Whole<R>) -> Self {
        let held = Held::default();
        Self { body, held }
    }

    /// The server's body, which keeps the slots until it ends.
    pub(super) fn in_slots(body: Whole<R>, slots: Option<SlotGuard>) -> Self {
        let held = Held {
            slots: slots.filter(|_| !body.is_end_stream()),
            ..Held::default()
        };
        Self { body, held }
    }

    /// The server's body. The permit is kept only if it has a slot to release, or if the body is to be read.
    pub(super) fn holding(body: Whole<R>, mut permit: Permit, readers: Readers) -> Self {
        if readers.are_none() {
            return Self::in_slots(body, permit.leave_slots());
        }
        if body.is_end_stream() {
            return Self::of(body);
        }
        let held = Held {
            slots: permit.take_slots(),
            reader: Some(Box::new(BodyReader::new(permit, readers))),
            silence: Timer::default(),
        };
        Self { body, held }
    }

    /// The server's body, whose beginning has not named the created job. The job takes the slot once it is named. A
    /// body that has ended names none.
    pub(super) fn for_job(body: Whole<R>, permit: Permit) -> Self {
        let readers = Readers {
            at_end: Some(Reader::Created(JobsReader::default())),
            ..Readers::default()
        };
        let reader =
            Some(Box::new(BodyReader::new(permit, readers))).filter(|_| !body.is_end_stream());
        let held = Held {
            reader,
            ..Held::default()
        };
        Self { body, held }
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
        let Poll::Ready(frame) = this.body.as_mut().poll_frame(cx) else {
            this.held.wait(cx);
            return Poll::Pending;
        };
        match &frame {
            // A caller that sees `is_end_stream` does not poll again.
            Some(Ok(frame)) => this.held.pass(frame, this.body.is_end_stream()),
            _ => *this.held = Held::default(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
impl Held {
    fn holds_slot(&self) -> bool {
        let reader = self.reader.as_ref();
        self.slots.is_some() || reader.is_some_and(|reader| reader.max_silence().is_some())
    }

    /// Reads a frame as it passes.
    fn pass(&mut self, frame: &Frame<Bytes>, is_last: bool) {
        if let (Some(reader), Some(data)) = (&mut self.reader, frame.data_ref()) {
            if !reader.read(data) {
                self.reader = None;
            }
        }
        self.silence = Timer::default();
        if is_last {
            *self = Self::default();
        }
    }

    /// Called when the server has no more data yet.
    fn wait(&mut self, cx: &mut Context<'_>) {
        let slots = self.slots.as_ref().map(SlotGuard::max_silence);
        let max = slots.or_else(|| self.reader.as_ref()?.max_silence());
        let max = max.filter(|max| *max < Duration::MAX);
        if max.and_then(|max| self.silence.poll(max, cx)) == Some(Poll::Ready(())) {
            self.slots = None;
            drop(self.reader.take_if(|reader| reader.max_silence().is_some()));
        }
    }
}

impl<R: Body> fmt::Debug for ResponseBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("body", &self.body)
            .field("holds_slot", &self.held.holds_slot())
            .field("is_read", &self.held.reader.is_some())
            .finish_non_exhaustive()
    }
}
