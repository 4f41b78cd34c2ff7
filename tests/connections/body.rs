//! A body that is sent piece by piece.

use std::{
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// So many bytes, no two pieces alike, each after another turn of the runtime. Its errors are of any
/// type, since it has none.
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

const PIECE: usize = 16 << 10;
