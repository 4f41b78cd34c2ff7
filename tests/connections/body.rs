//! A body that is sent piece by piece.

use std::{
    io,
    marker::PhantomData,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// A body of this many bytes, in which no two pieces are alike. Each piece is ready after another turn of the runtime.
/// Its errors are of any type, since it never fails.
pub(crate) struct Slow<E> {
    left: usize,
    total: usize,
    paused: bool,
    error: PhantomData<fn() -> E>,
}

impl<E> Slow<E> {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            left: bytes,
            total: bytes,
            paused: false,
            error: PhantomData,
        }
    }
}

impl<E> Body for Slow<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        self.paused = !self.paused;
        if self.paused {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = self.left.min(PIECE);
        let nth = (self.total - self.left) / PIECE;
        self.left -= piece;
        Poll::Ready(Some(Ok(Frame::data(vec![nth as u8; piece].into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

/// As many pieces of 100 bytes, each after a millisecond.
pub(crate) struct Dripping {
    pieces: Range<u8>,
    pause: Pin<Box<Sleep>>,
    is_sized: bool,
}

impl Dripping {
    pub(crate) fn new(pieces: u8) -> Self {
        Self {
            pieces: 0..pieces,
            pause: Box::pin(sleep(DRIP)),
            is_sized: true,
        }
    }

    /// Reports no size, so that only its end shows that it is complete.
    pub(crate) fn of_unknown_size(self) -> Self {
        Self {
            is_sized: false,
            ..self
        }
    }
}

impl Body for Dripping {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        ready!(self.pause.as_mut().poll(cx));
        self.pause = Box::pin(sleep(DRIP));
        let piece = self.pieces.next();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(vec![piece; 100].into()))))
    }

    fn size_hint(&self) -> SizeHint {
        match self.is_sized {
            true => SizeHint::with_exact(self.pieces.len() as u64 * 100),
            false => SizeHint::new(),
        }
    }
}

const PIECE: usize = 16 << 10;
const DRIP: Duration = Duration::from_millis(1);
