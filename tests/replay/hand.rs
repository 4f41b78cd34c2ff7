//! A body that is driven by hand, and wakes no task by itself.

use std::{
    collections::VecDeque,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio_test::task::Spawn;

/// Gives its frames to the first task that polls it, and does not wake tasks that polled before.
pub(crate) struct Hand<E> {
    frames: Arc<Mutex<VecDeque<Bytes>>>,
    error: PhantomData<fn() -> E>,
}

impl<E> Hand<E> {
    pub(crate) fn new() -> (Self, Arc<Mutex<VecDeque<Bytes>>>) {
        let frames = Arc::<Mutex<VecDeque<Bytes>>>::default();
        let hand = Self {
            frames: Arc::clone(&frames),
            error: PhantomData,
        };
        (hand, frames)
    }
}

impl<E> Body for Hand<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        match self.frames.lock().unwrap().pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(Frame::data(frame)))),
            None => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(WHOLE)
    }
}

/// The next frame, as a task sees it.
pub(crate) fn next<B>(task: &mut Spawn<B>) -> Poll<Option<Result<Bytes, B::Error>>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let polled = task.enter(|cx, body| Pin::new(body.get_mut()).poll_frame(cx));
    polled.map_ok(|frame| frame.into_data().unwrap_or_default())
}

/// The size that it reports.
pub(crate) const WHOLE: u64 = 100;
