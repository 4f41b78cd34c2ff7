use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};

use super::record::{SharedRecord, Source};

/// One attempt's cursor in the body: it reads the record first, then the source.
///
/// It is always `Unpin`, and it is `Sync` if the body is `Send`.
pub(crate) struct Replay<B: Body> {
    shared: Arc<SharedRecord<B>>,
    attempt: u32,
    /// Number of frames read.
    next: usize,
    /// Number of bytes in the frames read.
    passed: u64,
    /// Whether this cursor has taken the source and is polling it.
    polls: bool,
}

type Polled<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

/// The next step, chosen under the lock.
enum Choice<B: Body> {
    Done(Polled<B>),
    Poll(Pin<Box<B>>),
}

impl<B: Body> Replay<B> {
    pub(super) fn new(shared: Arc<SharedRecord<B>>, attempt: u32) -> Self {
        Self {
            shared,
            attempt,
            next: 0,
            passed: 0,
            polls: false,
        }
    }

    fn choose(&mut self, waker: &Waker) -> Choice<B>
    where
        B::Data: Clone,
    {
        // Listen before locking, so that a ring between the two is not missed.
        self.shared.bell.listen(self.attempt, waker);
        let mut record = self.shared.lock();
        let counts = self.attempt == record.attempt;
        if !counts {
            if let Some(error) = (self.shared.given_up)() {
                return Choice::Done(Poll::Ready(Some(Err(error))));
            }
        }
        if let Some(frame) = record.frames.get(self.next) {
            let frame = frame.clone();
            drop(record);
            return Choice::Done(Poll::Ready(Some(Ok(self.pass(frame.into())))));
        }
        if record.stopped && !counts {
            return Choice::Done(Poll::Pending);
        }
        match mem::replace(&mut record.source, Source::Away { missed: false }) {
            Source::Here(body) => return Choice::Poll(body),
            other => record.source = other,
        }
        Choice::Done(match &mut record.source {
            Source::Ended => Poll::Ready(None),
            Source::Away { missed } => {
                *missed = true;
                Poll::Pending
            }
            Source::Failed(error) if counts => match error.take().or_else(self.shared.given_up) {
                Some(error) => Poll::Ready(Some(Err(error))),
                None => Poll::Pending,
            },
            _ => Poll::Pending,
        })
    }

    /// Puts the source back after polling it, and records its frame. A source that has ended is dropped after the
    /// lock is released.
    fn put_back(&mut self, body: Pin<Box<B>>, polled: Polled<B>) -> Polled<B>
    where
        B::Data: Clone,
    {
        let mut record = self.shared.lock();
        let counts = self.attempt == record.attempt;
        let read = polled.is_ready();
        let (source, result) = match polled {
            Poll::Pending => (Source::Here(body), Poll::Pending),
            Poll::Ready(Some(Ok(frame))) => {
                record.keep(&frame, counts);
                (Source::Here(body), Poll::Ready(Some(Ok(frame))))
            }
            Poll::Ready(None) => (Source::Ended, Poll::Ready(None)),
            Poll::Ready(Some(Err(error))) if counts => {
                (Source::Failed(None), Poll::Ready(Some(Err(error))))
            }
            // The error is kept for the current attempt.
            Poll::Ready(Some(Err(error))) => (Source::Failed(Some(error)), Poll::Pending),
        };
        // The source wakes no other attempt for what is read here, so the others are woken here. If nothing was
        // read, only an attempt that found the source away is woken: waking this attempt too would never end.
        let others = record.laggards > 0;
        let missed = matches!(record.source, Source::Away { missed: true });
        record.source = source;
        drop(record);
        if missed || (read && others) {
            self.shared.bell.ring();
        }
        result.map_ok(|frame| self.pass(frame))
    }

    fn pass(&mut self, frame: Frame<B::Data>) -> Frame<B::Data> {
        self.next += 1;
        self.passed += frame.data_ref().map_or(0, |data| data.remaining() as u64);
        frame
    }
}

impl<B: Body> Unpin for Replay<B> {}

impl<B: Body<Data: Clone>> Body for Replay<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled<B> {
        let mut body = match self.choose(cx.waker()) {
            Choice::Done(done) => return done,
            Choice::Poll(body) => body,
        };
        let waker = Waker::from(Arc::clone(&self.shared.bell));
        self.polls = true;
        let polled = body.as_mut().poll_frame(&mut Context::from_waker(&waker));
        self.polls = false;
        self.put_back(body, polled)
    }

    fn is_end_stream(&self) -> bool {
        let record = self.shared.lock();
        let ends = (self.shared.given_up)().is_some() || record.stopped;
        if self.attempt != record.attempt && ends {
            // No more frames are recorded for an abandoned attempt, so having read them all does not mean the end.
            return false;
        }
        record.frames.len() <= self.next
            && match &record.source {
                Source::Here(body) => body.is_end_stream(),
                Source::Ended => true,
                Source::Away { .. } | Source::Failed(_) => false,
            }
    }

    /// The source's first hint, less the bytes read here. It is right from the start of every attempt, even while
    /// another attempt reads the source.
    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        if let Some(upper) = self.shared.size.upper() {
            hint.set_upper(upper.saturating_sub(self.passed));
        }
        hint.set_lower(self.shared.size.lower().saturating_sub(self.passed));
        hint
    }
}

impl<B: Body> Drop for Replay<B> {
    fn drop(&mut self) {
        let mut record = self.shared.lock();
        if self.attempt == record.attempt {
            record.live = false;
        } else if (self.shared.given_up)().is_none() {
            record.laggards -= 1;
        }
        if self.polls {
            // The source panicked and is lost. Without a wake, other attempts would wait for it forever.
            record.source = Source::Failed(None);
            drop(record);
            self.shared.bell.ring();
        }
    }
}
