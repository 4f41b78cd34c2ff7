//! What is kept of a request while it is under way.

use std::sync::Arc;

use bytes::Bytes;
use http::{Extensions, Request, response};
use http_body::Body;
use tokio::time::Instant;

use super::{
    settings::Settings,
    tries::{Ended, Tries, When},
};
use crate::{
    body::{Bound, Original, Peek, RequestBody},
    words::{Endpoint, Rejected, extension::Failure},
};

/// A request as it came, and how often it was tried.
pub(super) struct Session<A> {
    tries: Tries,
    /// `None` for a request that may not be sent again.
    original: Option<Original<A>>,
}

/// An attempt that is to be made, and when.
pub(super) struct Next<B> {
    pub(super) request: Request<B>,
    pub(super) when: When,
}

impl<A> Session<A> {
    /// Begins with the first attempt: the request as it came, but for a body that can be made again.
    pub(super) fn begin<B>(
        request: Request<B>,
        endpoint: Endpoint,
        settings: Arc<Settings>,
        now: Instant,
    ) -> (Self, Request<B>)
    where
        B: RequestBody<Again = A>,
    {
        let tries = Tries::begin(&request, endpoint, settings, now);
        if !tries.may_retry() {
            let original = None;
            return (Self { tries, original }, request);
        }
        let (original, request) = Original::keep(request, &tries.settings().memory);
        let original = Some(original);
        (Self { tries, original }, request)
    }

    pub(super) fn settings(&self) -> &Settings {
        self.tries.settings()
    }

    /// The body of a success, to be read as far as its first frame; the body itself if that is not wanted.
    pub(super) fn first_frame<R>(&self, head: &response::Parts, body: R) -> Result<Peek<R>, R>
    where
        R: Body<Data = Bytes>,
    {
        match self.original {
            Some(_) => self.tries.first_frame(head, body),
            None => Err(body),
        }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.tries.endpoint()
    }

    pub(super) fn error_body(&self) -> Bound {
        self.tries.error_body()
    }

    pub(super) fn drain(&self) -> Bound {
        self.tries.drain()
    }

    /// How an attempt ended that brought this error.
    pub(super) fn ended<'a, E: 'static>(&self, error: &'a E) -> Ended<'a> {
        self.tries.ended(error)
    }

    /// Whether the request is to be sent again, as far as is known before the response has been read to its
    /// end.
    pub(super) fn is_wanted(&self, failure: Failure, head: &response::Parts, now: Instant) -> bool {
        let said = (&head.headers, &head.extensions);
        self.original.is_some() && self.tries.is_wanted(failure, said, now)
    }

    /// What to do about an attempt that failed; `None` to leave it at that. Of an attempt without an
    /// answer there is no head.
    pub(super) fn next<B>(
        &mut self,
        ended: Ended<'_>,
        head: Option<&response::Parts>,
        now: Instant,
    ) -> Option<Next<B>>
    where
        B: RequestBody<Again = A>,
    {
        let Some(original) = &self.original else {
            self.tries.left_at(&ended);
            return None;
        };
        let said = head.map(|head| (&head.headers, &head.extensions));
        let body = || original.again();
        let (when, mut request) = self.tries.again(ended, original.head(), said, now, body)?;
        self.tries.mark(request.extensions_mut());
        Some(Next { request, when })
    }

    /// When its caller will have it no more.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.tries.deadline()
    }

    /// Whether its next attempt may be sent now.
    pub(super) fn is_in_time(&self) -> bool {
        self.tries.may_leave()
    }

    /// It could not be sent before its deadline.
    pub(super) fn late(&self) -> Rejected {
        self.tries.late()
    }

    pub(super) fn report(&mut self, extensions: &mut Extensions) {
        self.tries.report(extensions);
    }
}
