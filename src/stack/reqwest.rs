//! Implements the layers' services for reqwest's own requests.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use reqwest::{Body, Url};
use tower_service::Service;

use super::as_written::AsWritten;
use super::http_over_reqwest::{HttpOverReqwest, extensions};
use crate::{
    adapter::{failure, relay},
    fallback::{self, TogetherFallback},
    rate_limit::{self, TogetherRateLimit},
    retry::{self, TogetherRetry},
};

/// Implements a service of `http::Request`s for reqwest's requests too.
macro_rules! over_reqwest {
    ($service:ident, $module:ident) => {
        /// Accepts reqwest's own requests. A response created by the layer has the request's URL.
        impl<S> Service<reqwest::Request> for $service<S>
        where
            S: Service<reqwest::Request, Response = reqwest::Response> + Clone,
            S::Error: From<reqwest::Error> + 'static,
        {
            type Response = reqwest::Response;
            type Error = S::Error;
            type Future =
                ReqwestFuture<$module::ResponseFuture<HttpOverReqwest<S>, Body, Body>, S::Error>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: reqwest::Request) -> Self::Future {
                let url = request.url().clone();
                match AsWritten::keep(request) {
                    Ok(request) => {
                        let inner = HttpOverReqwest::new(self.get_ref().clone());
                        let response = self.over(inner).call(request);
                        ReqwestFuture::new(url, State::Calling { response })
                    }
                    Err(error) => ReqwestFuture::new(
                        url,
                        State::Failed {
                            error: Some(error.into()),
                        },
                    ),
                }
            }
        }
    };
}

over_reqwest!(TogetherRateLimit, rate_limit);
over_reqwest!(TogetherRetry, retry);
over_reqwest!(TogetherFallback, fallback);

pin_project_lite::pin_project! {
    /// The response to a `reqwest::Request`. Cancel safety and panics are those of the inner future.
    pub struct ReqwestFuture<F, E> {
        url: Option<Url>,
        #[pin]
        state: State<F, E>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProj]
    enum State<F, E> {
        Calling { #[pin] response: F },
        Failed { error: Option<E> },
    }
}

impl<F, E> ReqwestFuture<F, E> {
    fn new(url: Url, state: State<F, E>) -> Self {
        let url = Some(url);
        Self { url, state }
    }
}

impl<F, R, E> Future for ReqwestFuture<F, E>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: http_body::Body<Data = Bytes, Error = reqwest::Error> + Send + Sync + 'static,
    E: 'static,
{
    type Output = Result<reqwest::Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.state.project() {
            StateProj::Calling { response } => {
                relay::listen();
                let mut response = ready!(response.poll(cx)).inspect_err(|error| {
                    let _ = failure(error).map(relay::hear);
                })?;
                if let Some(url) = this.url.take() {
                    // The response's own extensions take precedence, since a server's response has its own URL.
                    let mut known = extensions(url);
                    known.extend(mem::take(response.extensions_mut()));
                    *response.extensions_mut() = known;
                }
                Poll::Ready(Ok(response.map(Body::wrap).into()))
            }
            StateProj::Failed { error } => {
                Poll::Ready(Err(error.take().expect("polled after it was ready")))
            }
        }
    }
}

impl<F, E> fmt::Debug for ReqwestFuture<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestFuture").finish_non_exhaustive()
    }
}
