//! Tokens are charged by an estimate, and settled when the answer is out.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Error,
    body::{Body, Bytes},
    response::Response,
};
use http_body::{Frame, SizeHint};

use crate::{engine::Charge, shared::Shared, verdict::Verdict};

/// A charge to be settled when this is dropped: then the answer has been sent, or cannot be.
pub(crate) struct Unsettled(Option<Due>);

struct Due {
    shared: Arc<Shared>,
    charge: Charge,
    used: u64,
}

impl Unsettled {
    /// What is open after a verdict: nothing, unless an answer reports what it has used.
    pub(crate) fn of(shared: &Arc<Shared>, verdict: &Verdict) -> Self {
        let Verdict::Accepted(reply, gauges, charge) = verdict else {
            return Self(None);
        };
        let used = gauges.tokens.and_then(|_| reply.used());
        Self(used.map(|used| Due {
            shared: Arc::clone(shared),
            charge: *charge,
            used,
        }))
    }

    /// Is settled with the last frame of a response, or when the response is dropped.
    pub(crate) fn until_sent(self, response: Response) -> Response {
        match self {
            Self(None) => response,
            unsettled => response.map(|body| {
                Body::new(Sending {
                    body,
                    unsettled: Some(unsettled),
                })
            }),
        }
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if let Some(due) = self.0.take() {
            let mut books = due.shared.books();
            let now = due.shared.now().as_micros() as u64;
            books.engine.settle(&due.charge, due.used, now);
        }
    }
}

/// The body of a response that is not settled.
struct Sending {
    body: Body,
    unsettled: Option<Unsettled>,
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        // Before the client can have read the end, and asks again.
        if this.body.is_end_stream() || matches!(frame, Poll::Ready(None)) {
            this.unsettled = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
