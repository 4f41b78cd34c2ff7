use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{ResponseFuture, settings::RetrySettings};
use crate::{
    body::{RequestBody, Whole},
    observe,
    resend::Resend,
    words::extension::LetGo,
};

/// A service that retries transient failures. See the [module](super).
#[derive(Clone, Debug)]
pub struct TogetherRetry<S> {
    inner: S,
    settings: Arc<RetrySettings>,
}

impl<S> TogetherRetry<S> {
    pub(super) fn new(inner: S, settings: Arc<RetrySettings>) -> Self {
        Self { inner, settings }
    }

    /// This service with its inner service replaced.
    #[cfg(feature = "reqwest")]
    pub(crate) fn over<T>(&self, inner: T) -> TogetherRetry<T> {
        TogetherRetry::new(inner, Arc::clone(&self.settings))
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R> Service<Request<B>> for TogetherRetry<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: 'static,
    B: RequestBody,
    R: Body<Data = Bytes>,
{
    type Response = Response<Whole<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, R>;

    /// Always ready: each attempt polls the inner service itself, so that none of its resources is held between
    /// attempts.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.extensions().get::<LetGo>().is_some() {
            observe::beneath_limiter();
        }
        // This clone was never polled ready, so this service's readiness is not used up.
        let inner = self.inner.clone();
        let resend = Resend::new(inner, request, Arc::clone(&self.settings));
        ResponseFuture { resend }
    }
}
