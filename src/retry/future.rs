use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{read::Reading, session::Session, settings::RetrySettings};
use crate::{
    body::{RequestBody, Whole},
    resend::Resend,
};

pin_project_lite::pin_project! {
    /// The response to a request, after its retries.
    ///
    /// # Cancel safety
    ///
    /// Dropping it stops all retries, and drops an attempt that is under way.
    ///
    /// # Panics
    ///
    /// If it has to wait and is polled outside a Tokio runtime with its timer enabled, or if it is polled after
    /// completion.
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<B>>,
        B: RequestBody,
        R: Body,
    {
        #[pin]
        pub(super) resend: Resend<S, B, Session<B::Again>, Reading<R>, Arc<RetrySettings>>,
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: 'static,
    B: RequestBody,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<Whole<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().resend.poll(cx)
    }
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
    B: RequestBody,
    R: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
