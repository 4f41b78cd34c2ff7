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

use super::{
    session::{Drain, FallbackSession},
    settings::FallbackSettings,
};
use crate::{body::RequestBody, resend::Resend};

pin_project_lite::pin_project! {
    /// The response to a request, from the first model of its chain that can serve it.
    ///
    /// # Cancel safety
    ///
    /// Dropping it stops the fallback, and drops an attempt that is under way.
    ///
    /// # Panics
    ///
    /// If it is polled after completion.
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<B>>,
        B: RequestBody,
        R: Body,
    {
        #[pin]
        pub(super) resend: Resend<S, B, FallbackSession<B::Again>, Drain<B, R>, Arc<FallbackSettings>>,
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: RequestBody + From<Bytes>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<R>, S::Error>;

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
