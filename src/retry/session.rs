//! What is kept of a request while it is under way.

use std::sync::Arc;

use http::{Extensions, HeaderMap, Method, Request, Uri, Version, response};
use tokio::time::Instant;

use super::{
    settings::Settings,
    tries::{Tries, When},
};
use crate::{
    body::{Bound, RequestBody},
    words::{
        Endpoint,
        extension::{Failure, RetryReport},
    },
};

/// A request as it came, and how often it was tried.
pub(super) struct Session<A> {
    tries: Tries,
    original: Original<A>,
}

/// Headers and extensions are cloned, since each attempt may change its own.
struct Original<A> {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    extensions: Extensions,
    body: A,
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
        let (head, body) = request.into_parts();
        let (body, again) = body.replayable(&tries.settings().memory);
        let original = Original {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            headers: head.headers.clone(),
            extensions: head.extensions.clone(),
            body: again,
        };
        (Self { tries, original }, Request::from_parts(head, body))
    }

    pub(super) fn settings(&self) -> &Settings {
        self.tries.settings()
    }

    pub(super) fn drain(&self) -> Bound {
        self.tries.drain()
    }

    /// What to do about an attempt that failed; `None` to leave it at that. Of an attempt without an
    /// answer there is no head.
    pub(super) fn next<B>(
        &mut self,
        failure: Failure,
        head: Option<&response::Parts>,
        now: Instant,
    ) -> Option<Next<B>>
    where
        B: RequestBody<Again = A>,
    {
        let original = &self.original;
        let said = head.map(|head| (&head.headers, &head.extensions));
        let body = || B::again(&original.body);
        let (when, body) = self.tries.again(failure, said, now, body)?;
        let mut request = Request::new(body);
        *request.method_mut() = original.method.clone();
        *request.uri_mut() = original.uri.clone();
        *request.version_mut() = original.version;
        *request.headers_mut() = original.headers.clone();
        *request.extensions_mut() = original.extensions.clone();
        self.tries.mark(request.extensions_mut());
        Some(Next { request, when })
    }

    pub(super) fn report(&mut self) -> Option<RetryReport> {
        self.tries.report()
    }
}
