use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{ResponseBody, ResponseFuture, tokens::Tokenizer, wanted::Wanted};
use crate::{
    body::{Bound, RequestBody},
    limiter::Limiter,
    words::Classify,
};

/// A service that holds each request until its turn. See the [module](super).
#[derive(Clone, Debug)]
pub struct TogetherRateLimit<S> {
    inner: S,
    limiter: Limiter,
    classify: Classify,
    bound: Bound,
    tokenizer: Option<Tokenizer>,
}

impl<S> TogetherRateLimit<S> {
    pub(super) fn new(
        inner: S,
        limiter: Limiter,
        classify: Classify,
        bound: Bound,
        tokenizer: Option<Tokenizer>,
    ) -> Self {
        Self {
            inner,
            limiter,
            classify,
            bound,
            tokenizer,
        }
    }

    /// This service with its inner service replaced.
    #[cfg(feature = "reqwest")]
    pub(crate) fn over<T>(&self, inner: T) -> TogetherRateLimit<T> {
        let (limiter, classify) = (self.limiter.clone(), self.classify.clone());
        TogetherRateLimit::new(inner, limiter, classify, self.bound, self.tokenizer.clone())
    }

    /// The service's limiter.
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
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

impl<S, B, R> Service<Request<B>> for TogetherRateLimit<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: RequestBody,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, R>;

    /// Always ready: the future waits, since it knows the request. The inner service is polled only when the turn has
    /// come, so that a waiting request holds none of its resources.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // This clone was never polled ready, so this service's readiness is not used up.
        let inner = self.inner.clone();
        match self.classify.endpoint(&request) {
            Some(endpoint) => {
                let tokenizer = self.tokenizer.clone();
                let wanted = Wanted::new(self.limiter.turn(), endpoint, tokenizer);
                ResponseFuture::limited(inner, request, wanted, self.bound)
            }
            None => {
                self.limiter.leave_alone();
                ResponseFuture::untouched(inner, request, self.bound)
            }
        }
    }
}
