use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};

use super::record::{Shared, Source};

/// One attempt's way through the body: the record first, then the source.
///
/// It is `Unpin` whatever the body is, and `Sync` if the body is `Send`.
pub(crate) struct Replay<B: Body> {
    shared: Arc<Shared<B>>,
    attempt: u32,
    /// Frames read.
    next: usize,
    /// Bytes of them.
    passed: u64,
    /// Whether the source is here, being polled.
    polls: bool,
}

type Polled<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

/// What to do next, decided under the lock.
enum Step<B: Body> {
    Done(Polled<B>),
    Poll(Pin<Box<B>>),
}

impl<B: Body> Replay<B> {
    pub(super) fn new(shared: Arc<Shared<B>>, attempt: u32) -> Self {
        Self {
            shared,
            attempt,
            next: 0,
            passed: 0,
            polls: false,
        }
    }

    fn step(&mut self, waker: &Waker) -> Step<B>
    where
        B::Data: Clone,
    {
        // Before the lock, so that who rings it between the two is heard.
        self.shared.bell.listen(waker);
        let mut record = self.shared.lock();
        let counts = self.attempt == record.attempt;
        if !counts {
            if let Some(error) = (self.shared.given_up)() {
                return Step::Done(Poll::Ready(Some(Err(error))));
            }
        }
        if let Some(frame) = record.frames.get(self.next) {
            let frame = frame.clone();
            drop(record);
            return Step::Done(Poll::Ready(Some(Ok(self.pass(frame.into())))));
        }
        if record.stopped && !counts {
            return Step::Done(Poll::Pending);
        }
        match mem::replace(&mut record.source, Source::Away { missed: false }) {
            Source::Here(body) => return Step::Poll(body),
            other => record.source = other,
        }
        Step::Done(match &mut record.source {
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

    /// Puts the source back after it was polled, and keeps what it gave. One that has ended is dropped
    /// when the lock is not held any more.
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
            // It is for the attempt that counts to hear of it.
            Poll::Ready(Some(Err(error))) => (Source::Failed(Some(error)), Poll::Pending),
        };
        // Of what is read here the source tells nobody else. Where nothing is, ringing would wake this
        // attempt too, to no end: only who found the source away may not be known to it.
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
        let mut body = match self.step(cx.waker()) {
            Step::Done(done) => return done,
            Step::Poll(body) => body,
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
            // Nothing is kept for one that is given up: that there is no more says nothing of it.
            return false;
        }
        record.frames.len() <= self.next
            && match &record.source {
                Source::Here(body) => body.is_end_stream(),
                Source::Ended => true,
                Source::Away { .. } | Source::Failed(_) => false,
            }
    }

    /// What the body said at first, less what was read here: right from the beginning of every
    /// attempt, whoever reads the source meanwhile.
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
            // The source panicked, and is gone: who went on waiting for it would wait for ever.
            record.source = Source::Failed(None);
            drop(record);
            self.shared.bell.ring();
        }
    }
}
