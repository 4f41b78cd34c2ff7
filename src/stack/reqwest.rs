//! The layers over services of reqwest's own requests.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use reqwest::{Body, Url};
use tower_service::Service;

use super::http_over_reqwest::{HttpOverReqwest, extensions};
use crate::{
    adapter::{failure, relay},
    fallback::{self, TogetherFallback},
    rate_limit::{self, TogetherRateLimit},
    retry::{self, TogetherRetry},
};

/// A service of `http::Request`s to reqwest's, as one of its own.
macro_rules! over_reqwest {
    ($service:ident, $module:ident) => {
        /// reqwest's requests, as they are. An answer of ours has the request's URL.
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
                match Original::keep(request) {
                    Ok(request) => {
                        let inner = HttpOverReqwest::new(self.get_ref().clone());
                        let answer = self.over(inner).call(request);
                        ReqwestFuture::new(url, State::Calling { answer })
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

/// What a `reqwest::Request` is that an `http::Request` is not: it travels in its extensions.
#[derive(Clone)]
pub(super) struct Original {
    url: Url,
    bodiless: bool,
}

impl Original {
    fn keep(request: reqwest::Request) -> Result<Request<Body>, reqwest::Error> {
        let url = request.url().clone();
        let bodiless = request.body().is_none();
        let mut request = Request::try_from(request)?;
        let original = Self { url, bodiless };
        request.extensions_mut().insert(original);
        Ok(request)
    }

    /// The request with these extensions too, where it has none of the kind.
    #[cfg(feature = "reqwest-middleware")]
    pub(super) fn with(
        request: reqwest::Request,
        extensions: &http::Extensions,
    ) -> Result<reqwest::Request, reqwest::Error> {
        let mut request = Self::keep(request)?;
        let own = mem::replace(request.extensions_mut(), extensions.clone());
        request.extensions_mut().extend(own);
        Self::restore(request)
    }

    pub(super) fn restore(mut request: Request<Body>) -> Result<reqwest::Request, reqwest::Error> {
        let original = request.extensions_mut().remove::<Self>();
        let mut request = reqwest::Request::try_from(request)?;
        if let Some(original) = original {
            *request.url_mut() = original.url;
            let empty = request.body().and_then(Body::as_bytes) == Some(b"");
            if original.bodiless && empty {
                *request.body_mut() = None;
            }
        }
        Ok(request)
    }
}

pin_project_lite::pin_project! {
    /// A `reqwest::Request` on its way. Cancel safety and panics are those of the future inside.
    pub struct ReqwestFuture<F, E> {
        url: Option<Url>,
        #[pin]
        state: State<F, E>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProj]
    enum State<F, E> {
        Calling { #[pin] answer: F },
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
            StateProj::Calling { answer } => {
                relay::listen();
                let mut answer = ready!(answer.poll(cx)).inspect_err(|error| {
                    let _ = failure(error).map(relay::hear);
                })?;
                if let Some(url) = this.url.take() {
                    // Where the answer came from, if it has come from anywhere.
                    let mut known = extensions(url);
                    known.extend(mem::take(answer.extensions_mut()));
                    *answer.extensions_mut() = known;
                }
                Poll::Ready(Ok(answer.map(Body::wrap).into()))
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
