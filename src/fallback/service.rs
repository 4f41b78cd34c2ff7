use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{ResponseFuture, settings::FallbackSettings};
use crate::{body::RequestBody, resend::Resend};

/// A service that sends a request to the next model if its own cannot serve it. See the [module](super).
#[derive(Clone, Debug)]
pub struct TogetherFallback<S> {
    inner: S,
    settings: Arc<FallbackSettings>,
}

impl<S> TogetherFallback<S> {
    pub(super) fn new(inner: S, settings: Arc<FallbackSettings>) -> Self {
        Self { inner, settings }
    }

    /// This service with its inner service replaced.
    #[cfg(feature = "reqwest")]
    pub(crate) fn over<T>(&self, inner: T) -> TogetherFallback<T> {
        TogetherFallback::new(inner, Arc::clone(&self.settings))
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

impl<S, B, R> Service<Request<B>> for TogetherFallback<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: RequestBody + From<Bytes>,
    R: Body<Data = Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, R>;

    /// Always ready: the inner service is polled for each model separately.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // This clone was never polled ready, so this service's readiness is not used up.
        let inner = self.inner.clone();
        let resend = Resend::new(inner, request, Arc::clone(&self.settings));
        ResponseFuture { resend }
    }
}
