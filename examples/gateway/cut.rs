//! A response's body that ends with the gateway's grace period, and says so in the shape of its stream.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::{
    app::Gateway,
    error,
    record::{End, Record},
};

pub(crate) struct Cut {
    body: Body,
    gateway: Arc<Gateway>,
    record: Arc<Record>,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Whether it is a stream of server-sent events, which can carry an error of its own.
    events: bool,
    /// The last bytes sent, which tell whether an event is complete.
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
        Self {
            over: Box::pin(gateway.shutdown.over()),
            body,
            gateway,
            record,
            events,
            tail: Vec::new(),
            ended: false,
        }
    }

    /// Half an event cannot be taken back: its stream breaks off.
    fn is_between_events(&self) -> bool {
        let ends = |end: &[u8]| self.tail.ends_with(end);
        self.events && (self.tail.is_empty() || ends(b"\n\n") || ends(b"\r\n\r\n") || ends(b"\r\r"))
    }

    fn remember(&mut self, piece: &[u8]) {
        let kept = &piece[piece.len().saturating_sub(TAIL)..];
        self.tail.extend_from_slice(kept);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
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
        if self.over.as_mut().poll(cx).is_ready() {
            self.ended = true;
            self.gateway.shutdown.count_cut();
            self.record.end(End::Cut);
            let last = match self.is_between_events() {
                true => Ok(Frame::data(error::event(CODE, MESSAGE))),
                false => Err(axum::Error::new(MESSAGE)),
            };
            return Poll::Ready(Some(last));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
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
            // An error may come in addition.
            true => SizeHint::default(),
            false => self.body.size_hint(),
        }
    }
}

pub(crate) const CODE: &str = "gateway_shutting_down";
pub(crate) const MESSAGE: &str =
    "the gateway is shutting down, and this call did not end within its grace period";
const TAIL: usize = 4;
