//! A body that is ready, pending or failing by a script, and lets other attempts act while it is polled.

use std::{
    convert::Infallible,
    error::Error,
    fmt, io,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, Weak},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures::Stream;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use proptest::prelude::*;

/// The script of a body.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) frames: Vec<Bytes>,
    pub(crate) trailers: Option<HeaderMap>,
    /// The frame in whose place it fails, if its error can be made.
    pub(crate) fails_at: Option<usize>,
    pub(crate) size: Size,
    /// Whether `is_end_stream` reports the end before the last poll.
    pub(crate) tells_end: bool,
}

/// The size that it reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Exact,
    /// An upper bound, this much above the size.
    AtMost(u64),
    Unknown,
}

/// An error of a source.
pub(crate) trait Fails: fmt::Debug + fmt::Display + Send + Sync + 'static {
    fn fail() -> Option<Self>
    where
        Self: Sized;
}

/// An error that only the client can make, such as `hyper::Error`.
#[derive(Debug)]
pub(crate) struct Foreign(());

pub(crate) const FAILED: &str = "the source failed";

pub(crate) struct Source<E> {
    script: Arc<Script>,
    tap: Arc<Tap>,
    error: PhantomData<fn() -> E>,
}

/// The state of a source, shared with the test that drives it.
#[derive(Default)]
pub(crate) struct Tap {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of items that may be read: frames, trailers, and the end.
    open: usize,
    /// The number of polls that return `Pending` and wake at once.
    stalls: u32,
    waker: Option<Waker>,
    next: usize,
    /// Bytes read before the current poll, if there is one.
    passed: u64,
    polled: bool,
    failed: bool,
    ended: bool,
    dropped: bool,
    meanwhile: Option<Weak<dyn Meanwhile>>,
}

/// Other attempts' actions while the source is being polled.
pub(crate) trait Meanwhile: Send + Sync {
    fn act(&self);
}

impl Script {
    pub(crate) fn data(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len() as u64).sum()
    }

    /// The number of data frames, and one for the trailers.
    pub(crate) fn items(&self) -> usize {
        self.frames.len() + usize::from(self.trailers.is_some())
    }

    pub(crate) fn trailers_len(&self) -> u64 {
        let pairs = self.trailers.iter().flatten();
        let lengths = pairs.map(|(name, value)| name.as_str().len() + value.len());
        lengths.sum::<usize>() as u64
    }

    pub(crate) fn is(&self, place: usize, frame: &Frame<Bytes>) -> bool {
        match self.frames.get(place) {
            Some(data) => frame.data_ref() == Some(data),
            None => place < self.items() && frame.trailers_ref() == self.trailers.as_ref(),
        }
    }

    pub(crate) fn hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        match self.size {
            Size::Exact => hint.set_exact(self.data()),
            Size::AtMost(more) => hint.set_upper(self.data() + more),
            Size::Unknown => {}
        }
        hint
    }

    fn frame(&self, place: usize) -> Option<Frame<Bytes>> {
        match self.frames.get(place) {
            Some(data) => Some(Frame::data(data.clone())),
            None if place < self.items() => self.trailers.clone().map(Frame::trailers),
            None => None,
        }
    }
}

/// All bytes differ, so that none can be mistaken for one from another place.
pub(crate) fn scripts() -> impl Strategy<Value = Script> {
    let lengths = prop::collection::vec(0..7usize, 0..6);
    let trailers = prop::option::weighted(0.3, 0..20usize);
    let size = prop_oneof![
        3 => Just(Size::Exact),
        1 => (0..5u64).prop_map(Size::AtMost),
        2 => Just(Size::Unknown),
    ];
    let fails_at = prop::option::weighted(0.15, 0..7usize);
    (lengths, trailers, fails_at, size, any::<bool>()).prop_map(
        |(lengths, trailers, fails_at, size, tells_end)| {
            let mut byte = 0..;
            let mut frame = |length| byte.by_ref().take(length).collect();
            let frames: Vec<Bytes> = lengths.into_iter().map(&mut frame).collect();
            let trailers = trailers.map(|length| {
                let value = "v".repeat(length).parse().unwrap();
                HeaderMap::from_iter([(http::header::ETAG, value)])
            });
            let items = frames.len() + usize::from(trailers.is_some());
            Script {
                fails_at: fails_at.map(|place| place.min(items)),
                frames,
                trailers,
                size,
                tells_end,
            }
        },
    )
}

impl<E: Fails> Source<E> {
    pub(crate) fn new(script: &Arc<Script>, tap: &Arc<Tap>) -> Self {
        Self {
            script: Arc::clone(script),
            tap: Arc::clone(tap),
            error: PhantomData,
        }
    }

    fn next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let mut state = self.tap.lock();
        assert!(!state.polled, "polled twice at once");
        assert!(!state.ended, "polled after its end");
        state.polled = true;
        let passed = state.passed;
        let item = self.read(&mut state, cx.waker());
        let passed = match &item {
            Poll::Ready(Some(Ok(frame))) => {
                passed + frame.data_ref().map_or(0, |data| data.len() as u64)
            }
            _ => passed,
        };
        let meanwhile = state.meanwhile.as_ref().and_then(Weak::upgrade);
        drop(state);
        if let Some(meanwhile) = meanwhile {
            meanwhile.act();
        }
        let mut state = self.tap.lock();
        state.polled = false;
        state.passed = passed;
        state.failed = matches!(item, Poll::Ready(Some(Err(_))));
        item
    }

    fn read(&self, state: &mut State, waker: &Waker) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        // A wake is owed only for a poll that found nothing, and only for the latest.
        state.waker = None;
        if state.stalls > 0 {
            state.stalls -= 1;
            waker.wake_by_ref();
            return Poll::Pending;
        }
        if state.open <= state.next {
            state.waker = Some(waker.clone());
            return Poll::Pending;
        }
        if self.script.fails_at == Some(state.next) {
            if let Some(error) = E::fail() {
                state.ended = true;
                return Poll::Ready(Some(Err(error)));
            }
        }
        let frame = self.script.frame(state.next);
        state.next += 1;
        state.ended = frame.is_none();
        Poll::Ready(frame.map(Ok))
    }
}

impl<E: Fails> Body for Source<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        self.next(cx)
    }

    fn is_end_stream(&self) -> bool {
        let fails = self.script.fails_at.is_some() && E::fail().is_some();
        let state = self.tap.lock();
        let is_known = self.script.tells_end || state.ended;
        is_known && !fails && state.next >= self.script.items()
    }

    fn size_hint(&self) -> SizeHint {
        let passed = self.tap.lock().passed;
        let whole = self.script.hint();
        let mut rest = SizeHint::new();
        if let Some(upper) = whole.upper() {
            rest.set_upper(upper - passed);
        }
        rest.set_lower(whole.lower().saturating_sub(passed));
        rest
    }
}

impl<E: Fails> Stream for Source<E> {
    type Item = Result<Frame<Bytes>, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.next(cx)
    }
}

impl<E> Drop for Source<E> {
    fn drop(&mut self) {
        self.tap.lock().dropped = true;
    }
}

impl Tap {
    pub(crate) fn meanwhile(&self, act: Weak<dyn Meanwhile>) {
        self.lock().meanwhile = Some(act);
    }

    /// Allows `more` frames to be read. The waiting task is not woken yet.
    pub(crate) fn open(&self, more: usize) {
        let mut state = self.lock();
        state.open = state.open.saturating_add(more);
    }

    pub(crate) fn stall(&self) {
        self.lock().stalls += 1;
    }

    pub(crate) fn wake(&self) {
        let waker = self.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Bytes of data that have been read, without those of the current poll.
    pub(crate) fn passed(&self) -> u64 {
        self.lock().passed
    }

    pub(crate) fn is_polled(&self) -> bool {
        self.lock().polled
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.lock().failed
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Fails for io::Error {
    fn fail() -> Option<Self> {
        Some(Self::other(FAILED))
    }
}

impl Fails for Box<dyn Error + Send + Sync> {
    fn fail() -> Option<Self> {
        Some(FAILED.into())
    }
}

impl Fails for Foreign {
    fn fail() -> Option<Self> {
        Some(Self(()))
    }
}

impl Fails for Infallible {
    fn fail() -> Option<Self> {
        None
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FAILED)
    }
}
