use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{ResponseFuture, settings::Settings};
use crate::{
    body::{RequestBody, Whole},
    observe,
    resend::Resend,
    words::extension::LetGo,
};

/// A service that sends again what failed for a passing reason. See the [module](super).
#[derive(Clone, Debug)]
pub struct TogetherRetry<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> TogetherRetry<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }

    /// The same over another service.
    #[cfg(feature = "reqwest")]
    pub(crate) fn over<T>(&self, inner: T) -> TogetherRetry<T> {
        TogetherRetry::new(inner, Arc::clone(&self.settings))
    }

    /// The service that sends.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service that sends.
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

    /// Always ready: the inner service is asked anew for each attempt, so that nothing of it is held
    /// between two of them.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.extensions().get::<LetGo>().is_some() {
            observe::beneath_limiter();
        }
        // A clone that was never ready, so this service's readiness is not used up.
        let inner = self.inner.clone();
        let resend = Resend::new(inner, request, Arc::clone(&self.settings));
        ResponseFuture { resend }
    }
}
