use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::response;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::timer::Timer;
use crate::{
    wire::response::InBandReader,
    words::{ApiError, Endpoint},
};

/// The maximum size of a body to read, and the maximum time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

impl Bound {
    /// The bound for an error's body.
    pub(crate) const ERROR: Self = Self {
        bytes: 16 << 10,
        time: Duration::from_secs(1),
    };

    /// The bound for a response that is discarded, so that its connection can be reused: a new connection costs
    /// more than reading this much from the old one.
    pub(crate) const DRAIN: Self = Self {
        bytes: 256 << 10,
        time: Duration::from_millis(500),
    };

    /// Stops at the deadline. If the response's head arrives later, or just before it, the part of the body that
    /// arrives with the head is still read.
    pub(crate) fn until(self, deadline: Option<Instant>, now: Instant) -> Self {
        let left = left(deadline, now).max(WITH_ITS_HEAD);
        self.at_most(left)
    }

    /// Stops half way to the deadline, to leave time for a retry.
    pub(crate) fn half_until(self, deadline: Option<Instant>, now: Instant) -> Self {
        self.at_most(left(deadline, now) / 2)
    }

    /// Stops after `time`.
    pub(crate) fn at_most(self, time: Duration) -> Self {
        let time = self.time.min(time);
        Self { time, ..self }
    }
}

fn left(deadline: Option<Instant>, now: Instant) -> Duration {
    deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(now))
}

/// Time for a client to return a body that it has received together with the head.
const WITH_ITS_HEAD: Duration = Duration::from_millis(10);

/// The beginning of a response's body, buffered to be read and then returned whole, or discarded.
pub(crate) struct Peek<R: Body> {
    body: Pin<Box<R>>,
    frames: VecDeque<Frame<Bytes>>,
    /// Bytes read, plus one for each frame without data.
    read: usize,
    end: Option<End<R::Error>>,
    bound: Bound,
    /// The reader of an in-band error, if the body is read for that.
    reader: Option<InBandReader>,
    timer: Timer,
}

enum End<E> {
    Whole,
    Failed(E),
}

impl<R: Body<Data = Bytes>> Peek<R> {
    pub(crate) fn new(body: R, bound: Bound) -> Self {
        Self {
            body: Box::pin(body),
            frames: VecDeque::new(),
            read: 0,
            end: None,
            bound,
            reader: None,
            timer: Timer::default(),
        }
    }

    /// Prepares to read a success up to the end of its first event, or JSON up to what comes with its first frame.
    /// Returns the body itself if it cannot be an in-band error, or was inspected already.
    pub(crate) fn success(
        endpoint: Endpoint,
        head: &response::Parts,
        body: R,
        max_wait: Duration,
    ) -> Result<Self, R> {
        // The cheap questions first: most responses end here.
        let may_be = !body.is_end_stream()
            && body.size_hint().lower() <= Bound::ERROR.bytes as u64
            && head.extensions.get::<ApiError>().is_none();
        let reader = || InBandReader::of(endpoint, head.status, &head.headers);
        let Some(reader) = may_be.then(reader).flatten() else {
            return Err(body);
        };
        let bound = Bound {
            time: max_wait,
            ..Bound::ERROR
        };
        Ok(Self {
            reader: Some(reader),
            ..Self::new(body, bound)
        })
    }

    /// Takes out the reader of an in-band error.
    pub(crate) fn take_reader(&mut self) -> Option<InBandReader> {
        self.reader.take()
    }

    /// Replaces the bound, so that more can be read.
    pub(crate) fn bound(&mut self, bound: Bound) {
        self.bound = bound;
        self.timer = Timer::default();
    }

    /// Ready when the body has ended or the bound is reached. A timer is created only if it has to wait; outside a
    /// runtime it does not wait.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.end.is_none() && self.read < self.bound.bytes && !self.is_decided() {
            let Poll::Ready(frame) = self.body.as_mut().poll_frame(cx) else {
                return self.poll_time(cx);
            };
            match frame {
                Some(Ok(frame)) => {
                    if let (Some(reader), Some(data)) = (&mut self.reader, frame.data_ref()) {
                        reader.read(data);
                    }
                    // An empty frame counts too; otherwise a body of empty frames is read without end.
                    self.read += frame.data_ref().map_or(1, |data| data.len().max(1));
                    self.frames.push_back(frame);
                    // A caller that sees `is_end_stream` does not poll again.
                    if self.body.is_end_stream() {
                        self.end = Some(End::Whole);
                    }
                }
                Some(Err(error)) => self.end = Some(End::Failed(error)),
                None => self.end = Some(End::Whole),
            }
        }
        Poll::Ready(())
    }

    /// Like [`poll_read`](Self::poll_read), but discards the frames.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.poll_read(cx);
        self.frames.clear();
        polled
    }

    /// The first `most` of the bytes read.
    pub(crate) fn bytes(&self, most: usize) -> Vec<u8> {
        let data = self.frames.iter().filter_map(Frame::data_ref);
        data.flatten().copied().take(most).collect()
    }

    /// Whether more of the body cannot change what its reader finds.
    fn is_decided(&self) -> bool {
        self.reader.as_ref().is_some_and(InBandReader::is_over)
    }

    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let has_begun = self.reader.as_ref().is_some_and(InBandReader::has_begun);
        if self.bound.time.is_zero() || has_begun {
            return Poll::Ready(());
        }
        let polled = self.timer.poll(self.bound.time, cx);
        polled.unwrap_or(Poll::Ready(()))
    }

    /// Whether the whole body was read.
    pub(crate) fn is_whole(&self) -> bool {
        self.end.is_some()
    }

    /// The next frame of the whole body, starting from its first frame.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match self.end.take() {
            None => self.body.as_mut().poll_frame(cx),
            Some(End::Whole) => {
                self.end = Some(End::Whole);
                Poll::Ready(None)
            }
            Some(End::Failed(error)) => {
                self.end = Some(End::Whole);
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let ended = match &self.end {
            None => self.body.is_end_stream(),
            Some(End::Whole) => true,
            Some(End::Failed(_)) => false,
        };
        self.frames.is_empty() && ended
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let waiting: usize = self
            .frames
            .iter()
            .filter_map(Frame::data_ref)
            .map(Bytes::len)
            .sum();
        let waiting = waiting as u64;
        let rest = match self.end {
            None => self.body.size_hint(),
            Some(_) => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(waiting));
        }
        hint.set_lower(rest.lower().saturating_add(waiting));
        hint
    }
}
