//! A service whose clones are ready at their second poll.

use std::task::{Context, Poll};

use tower::Service;

pub(crate) struct SecondPoll<S> {
    inner: S,
    polled: bool,
}

impl<S> SecondPoll<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            polled: false,
        }
    }
}

impl<S: Clone> Clone for SecondPoll<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}

impl<S: Service<R>, R> Service<R> for SecondPoll<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if !std::mem::replace(&mut self.polled, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.polled = false;
        self.inner.call(request)
    }
}
