//! A body that breaks off.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// Announces a body, sends the first half of it, and fails.
pub(crate) fn body(whole: Bytes) -> Body {
    let half = whole.slice(..whole.len() / 2);
    Body::new(Cut {
        announced: whole.len() as u64,
        half: Some(half).filter(|half| !half.is_empty()),
        pause: None,
    })
}

struct Cut {
    announced: u64,
    half: Option<Bytes>,
    /// The half that was sent is in a buffer first, and an error drops the buffer. This pause lets
    /// the buffer be written.
    pause: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if let Some(half) = this.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        let pause = this.pause.get_or_insert_with(|| Box::pin(sleep(PAUSE)));
        ready!(pause.as_mut().poll(cx));
        Poll::Ready(Some(Err(io::Error::other("cut as it was scripted"))))
    }

    fn size_hint(&self) -> SizeHint {
        match self.announced {
            // An empty body cannot be cut, so a length of 0 is not announced.
            0 => SizeHint::new(),
            length => SizeHint::with_exact(length),
        }
    }
}

/// Ages for a buffer on its way to loopback, and hardly noticed by a test.
const PAUSE: Duration = Duration::from_millis(20);
