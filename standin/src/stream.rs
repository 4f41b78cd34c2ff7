//! Server-sent events.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header::CONTENT_TYPE},
    response::Response,
};
use http_body::Frame;
use serde_json::Value;
use tokio::time::{Sleep, sleep};

use crate::open::Open;

/// Sends streams and knows how many are open.
#[derive(Debug)]
pub(crate) struct Streams {
    chunk_delay: Duration,
    open: Arc<AtomicUsize>,
}

impl Streams {
    /// `chunk_delay` is the time from one event to the next.
    pub(crate) fn new(chunk_delay: Duration) -> Self {
        Self {
            chunk_delay,
            open: Arc::default(),
        }
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A stream of these events and of the `[DONE]` that ends it.
    pub(crate) fn response(&self, events: &[Value]) -> Response {
        let mut lines: VecDeque<Bytes> = events.iter().map(line).collect();
        lines.push_back(line("[DONE]"));
        let mut response = Response::new(Body::new(Events {
            lines,
            delay: self.chunk_delay,
            pause: None,
            open: Some(Open::new(&self.open)),
        }));
        let kind = HeaderValue::from_static("text/event-stream;charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

fn line(data: impl std::fmt::Display) -> Bytes {
    format!("data: {data}\n\n").into()
}

/// A body that sends one event after the other, with a pause between them.
struct Events {
    lines: VecDeque<Bytes>,
    delay: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    /// Given back with the last event, not when the body is dropped: a client that has read the
    /// end must not find its stream still counted.
    open: Option<Open>,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        let line = this.lines.pop_front();
        if this.lines.is_empty() {
            this.open = None;
        } else if !this.delay.is_zero() {
            this.pause = Some(Box::pin(sleep(this.delay)));
        }
        Poll::Ready(line.map(|line| Ok(Frame::data(line))))
    }

    fn is_end_stream(&self) -> bool {
        self.lines.is_empty()
    }
}
