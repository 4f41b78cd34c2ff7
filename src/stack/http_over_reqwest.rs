use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::{Empty, Full};
use reqwest::{Body, ResponseBuilderExt, Url};
use tower_service::Service;

use super::as_written::AsWritten;
use crate::words::extension::Redirected;

/// A reqwest client as a service of `http::Request`s, for layers that support no other type, such as tower-http's,
/// and for programs that use http's types.
///
/// Nothing is lost in the conversion: method, URL, headers, version, timeout, extensions and streams are sent and
/// returned unchanged. `reqwest::Response::from` converts the response to reqwest's again, with its URL. `B` is
/// the type of the request bodies: a [`ReqwestBody`], such as `Full<Bytes>`, with which it fits the crate
/// `tower-together-jobs`.
///
/// ```
/// use http::Request;
/// use tower::{Service, ServiceBuilder, ServiceExt};
/// use tower_together::{TogetherLayer, stack::HttpOverReqwest};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let api = together_standin::StandIn::start().await?;
/// # let api = api.url();
/// let mut client = ServiceBuilder::new()
///     .layer(TogetherLayer::default())
///     .service(HttpOverReqwest::new(reqwest::Client::new()));
/// let request = Request::get(format!("{api}/v1/models"))
///     .header("authorization", "Bearer YOUR_KEY")
///     .body("")?;
/// let response = client.ready().await?.call(request).await?;
/// let response = reqwest::Response::from(response.map(reqwest::Body::wrap));
/// assert!(response.url().path().ends_with("/models"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The client's own errors, and reqwest's builder error for a URI that is not a URL, such as one without a host.
pub struct HttpOverReqwest<S, B = Body> {
    inner: S,
    // The body type is part of the service's type, so that it can be inferred from one call.
    body: PhantomData<fn(B)>,
}

impl<S, B> HttpOverReqwest<S, B> {
    /// Creates a service that sends through this client.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            body: PhantomData,
        }
    }

    /// The inner client.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner client.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<Request<B>> for HttpOverReqwest<S, B>
where
    S: Service<reqwest::Request, Response = reqwest::Response>,
    S::Error: From<reqwest::Error>,
    B: ReqwestBody,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = HttpFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let state = match AsWritten::restore(request.map(B::into_reqwest)) {
            Ok(request) => State::Calling {
                url: request.url().clone(),
                response: self.inner.call(request),
            },
            Err(error) => State::Failed {
                error: Some(error.into()),
            },
        };
        HttpFuture { state }
    }
}

/// A request body that reqwest can send.
///
/// Implement it for a body of your own, from reqwest's: `reqwest::Body::wrap(self)`. Later releases of 1.x add methods
/// only with a default.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a request body that reqwest 0.13 can send",
    label = "no `ReqwestBody` for this body",
    note = "make reqwest's own of it: `request.map(reqwest::Body::wrap)`"
)]
pub trait ReqwestBody {
    /// Converts the body to reqwest's own type.
    fn into_reqwest(self) -> Body;
}

macro_rules! into_reqwest {
    ($($body:ty),*) => {$(
        impl ReqwestBody for $body {
            fn into_reqwest(self) -> Body {
                self.into()
            }
        }
    )*};
}

into_reqwest!(Body, Bytes, String, Vec<u8>, &'static str, &'static [u8]);

impl ReqwestBody for Full<Bytes> {
    fn into_reqwest(mut self) -> Body {
        // `Full` has no accessor for its bytes, which are its only frame.
        let polled = Pin::new(&mut self).poll_frame(&mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default().into(),
            _ => Body::default(),
        }
    }
}

impl ReqwestBody for Empty<Bytes> {
    fn into_reqwest(self) -> Body {
        Body::default()
    }
}

pin_project_lite::pin_project! {
    /// The response to a request that is sent through a reqwest client.
    pub struct HttpFuture<F, E> {
        #[pin]
        state: State<F, E>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProj]
    enum State<F, E> {
        Calling { url: Url, #[pin] response: F },
        Failed { error: Option<E> },
    }
}

impl<F, E> Future for HttpFuture<F, E>
where
    F: Future<Output = Result<reqwest::Response, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Calling { url, response } => {
                let response = ready!(response.poll(cx))?;
                let reached = response.url().clone();
                let failed = !response.status().is_success();
                let mut response = Response::from(response);
                if failed {
                    let redirected = Redirected(is_another(url, &reached));
                    response.extensions_mut().insert(redirected);
                }
                response.extensions_mut().extend(extensions(reached));
                Poll::Ready(Ok(response))
            }
            StateProj::Failed { error } => {
                Poll::Ready(Err(error.take().expect("polled after it was ready")))
            }
        }
    }
}

/// Whether a response has another URL than the request. The fragment is ignored, since it is not sent.
fn is_another(asked: &Url, reached: &Url) -> bool {
    asked.as_str().split('#').next() != reached.as_str().split('#').next()
}

/// The extensions from which a `reqwest::Response` built from http's takes its URL.
pub(super) fn extensions(url: Url) -> http::Extensions {
    // The extension's type is private to reqwest, so it is taken from a response built for this purpose.
    let response = Response::builder().url(url).body(());
    let response = response.expect("nothing of it can be wrong");
    response.into_parts().0.extensions
}

impl<S: Clone, B> Clone for HttpOverReqwest<S, B> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}

impl<S: fmt::Debug, B> fmt::Debug for HttpOverReqwest<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpOverReqwest").field(&self.inner).finish()
    }
}

impl<F, E> fmt::Debug for HttpFuture<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFuture").finish_non_exhaustive()
    }
}
