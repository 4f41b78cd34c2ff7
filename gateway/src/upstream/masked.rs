//! A response's body with the gateway's key covered, whatever the body's length and pieces.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::upstream::mask::Mask;

pub(crate) struct Masked {
    body: Body,
    mask: Mask,
}

impl Masked {
    pub(crate) fn new(body: Body, mask: Mask) -> Self {
        Self { body, mask }
    }
}

impl http_body::Body for Masked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            let text = match ready!(Pin::new(&mut self.body).poll_frame(cx)?) {
                Some(frame) => match frame.into_data() {
                    Ok(piece) => self.mask.push(piece),
                    // Trailers are for the next hop, as are the headers that announce them.
                    Err(_) => continue,
                },
                None if self.mask.held() == 0 => return Poll::Ready(None),
                None => self.mask.end(),
            };
            if !text.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(text))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.mask.held() == 0
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let held = self.mask.held() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + held);
        }
        hint.set_lower(hint.lower() + held);
        hint
    }
}
