use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};

use super::{
    ReplayBuffer, RequestBody,
    replay::{self, Kept, Replay},
};

pin_project_lite::pin_project! {
    /// Wraps any body. Its content is never read; it is recorded while it is sent, so that it can be sent again.
    ///
    /// The error type is the body's own. Beneath two retry layers, only the outer one can send the body again.
    pub struct Opaque<B>
    where
        B: Body,
    {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<B>
    where
        B: Body,
    {
        Plain { #[pin] body: B },
        Replay { body: Replay<B> },
    }
}

impl<B: Body> Opaque<B> {
    /// Wraps a body.
    pub fn new(body: B) -> Self {
        Self {
            kind: Kind::Plain { body },
        }
    }

    fn replay(body: Replay<B>) -> Self {
        Self {
            kind: Kind::Replay { body },
        }
    }
}

impl<B: Body<Data: Clone, Error: 'static>> RequestBody for Opaque<B> {
    type Again = Option<Kept<B>>;

    fn replayable(self, memory: &ReplayBuffer) -> (Self, Self::Again) {
        let body = match self.kind {
            Kind::Plain { body } => body,
            Kind::Replay { .. } => return (self, None),
        };
        match Kept::new(body, memory, replay::given_up) {
            Ok(kept) => (Self::replay(kept.first()), Some(kept)),
            Err(body) => (Self::new(body), None),
        }
    }

    fn again(kept: &Self::Again) -> Option<Self> {
        Some(Self::replay(kept.as_ref()?.again()?))
    }
}

impl<B: Body<Data: Clone>> Body for Opaque<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project().kind.project() {
            KindProj::Plain { body } => body.poll_frame(cx),
            KindProj::Replay { body } => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Plain { body } => body.is_end_stream(),
            Kind::Replay { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Plain { body } => body.size_hint(),
            Kind::Replay { body } => body.size_hint(),
        }
    }
}

impl<B: Body> fmt::Debug for Opaque<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opaque").finish_non_exhaustive()
    }
}
