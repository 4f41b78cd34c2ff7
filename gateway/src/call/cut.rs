//! A response's body that the gateway may end early: when the grace period ends, or when the first byte of a stream is
//! late. The last frame reports this in the format of the stream.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep_until};

use crate::{
    error,
    gateway::Gateway,
    monitor::record::{End, Record},
};

pub(crate) struct Cut {
    body: Body,
    gateway: Arc<Gateway>,
    record: Arc<Record>,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// The timer for the first byte of a stream.
    silence: Option<Pin<Box<Sleep>>>,
    /// Whether the body is a stream of server-sent events, which can carry an error event.
    events: bool,
    /// The last bytes sent, which show whether an event is complete.
    tail: Vec<u8>,
    ended: bool,
}

impl Cut {
    pub(crate) fn new(
        body: Body,
        gateway: Arc<Gateway>,
        record: Arc<Record>,
        events: bool,
    ) -> Self {
        let until = record.first_byte(gateway.first_byte);
        Self {
            over: Box::pin(gateway.shutdown.over()),
            silence: until
                .filter(|_| events)
                .map(|until| Box::pin(sleep_until(until))),
            body,
            gateway,
            record,
            events,
            tail: Vec::new(),
            ended: false,
        }
    }

    /// Whether the last event is complete. A stream that is cut inside an event breaks off instead of ending.
    fn is_between_events(&self) -> bool {
        let ends = |end: &[u8]| self.tail.ends_with(end);
        self.events && (self.tail.is_empty() || ends(b"\n\n") || ends(b"\r\n\r\n") || ends(b"\r\r"))
    }

    fn remember(&mut self, piece: &[u8]) {
        let kept = &piece[piece.len().saturating_sub(TAIL)..];
        self.tail.extend_from_slice(kept);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
    }

    /// Makes the last frame. Everything that the body held, its slot included, is given back.
    fn end(&mut self, how: End, code: &str, message: &str) -> Result<Frame<Bytes>, axum::Error> {
        self.ended = true;
        self.record.end(how);
        self.body = Body::empty();
        match self.is_between_events() {
            true => Ok(Frame::data(error::event(code, message))),
            false => Err(axum::Error::new(message.to_owned())),
        }
    }

    /// Returns the last frame if the gateway ends the body.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame<Bytes>, axum::Error>> {
        if self.over.as_mut().poll(cx).is_ready() {
            self.gateway.shutdown.count_cut();
            return Poll::Ready(self.end(End::Cut, CODE, MESSAGE));
        }
        let Some(silence) = &mut self.silence else {
            return Poll::Pending;
        };
        ready!(silence.as_mut().poll(cx));
        let message = error::silence(self.gateway.first_byte);
        self.gateway.monitor.came(Err(message.clone()));
        Poll::Ready(self.end(End::Silent, error::SILENT, &message))
    }
}

/// The body of a program that reads nothing is dropped without its last frame.
impl Drop for Cut {
    fn drop(&mut self) {
        if self.gateway.shutdown.is_over() && !http_body::Body::is_end_stream(self) {
            self.record.end(End::Cut);
        }
    }
}

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(last) = self.poll_end(cx) {
            return Poll::Ready(Some(last));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.silence = None;
        match &frame {
            Some(Ok(frame)) if self.events => {
                if let Some(piece) = frame.data_ref().cloned() {
                    self.remember(&piece);
                }
            }
            Some(Ok(_)) => {}
            None | Some(Err(_)) => self.ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.events {
            // An error event may be added.
            true => SizeHint::default(),
            false => self.body.size_hint(),
        }
    }
}

pub(crate) const CODE: &str = "gateway_shutting_down";
pub(crate) const MESSAGE: &str =
    "the gateway is shutting down, and this call did not end within its grace period";
const TAIL: usize = 4;
