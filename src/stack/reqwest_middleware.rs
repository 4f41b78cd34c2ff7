//! The layers in a `reqwest_middleware::ClientBuilder`.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Middleware, Next, Result};
use tower_layer::Layer;
use tower_service::Service;

use super::reqwest::Original;
use crate::{layer::TogetherLayer, rate_limit::TogetherRateLimitLayer, retry::TogetherRetryLayer};

macro_rules! middleware {
    ($($layer:ty),*) => {$(
        /// Given to `reqwest_middleware::ClientBuilder::with`. What a request was given by
        /// `with_extension` is looked at as its own [extensions](crate::extension).
        #[async_trait::async_trait]
        impl Middleware for $layer {
            async fn handle(
                &self,
                request: Request,
                extensions: &mut Extensions,
                next: Next<'_>,
            ) -> Result<Response> {
                let request = Original::with(request, extensions)?;
                // A copy: a call that is dropped leaves its caller's as they were.
                let rest = Rest::new(next, extensions.clone());
                // Always ready: see the service's own `poll_ready`.
                let answer = self.layer(rest.clone()).call(request).await;
                *extensions = mem::take(&mut *rest.extensions());
                answer
            }
        }
    )*};
}

middleware!(TogetherLayer, TogetherRateLimitLayer, TogetherRetryLayer);

/// What comes after a layer in the chain, as a service.
#[derive(Clone)]
struct Rest<'a> {
    next: Next<'a>,
    extensions: Arc<Mutex<Extensions>>,
}

impl<'a> Rest<'a> {
    fn new(next: Next<'a>, extensions: Extensions) -> Self {
        let extensions = Arc::new(Mutex::new(extensions));
        Self { next, extensions }
    }

    fn extensions(&self) -> MutexGuard<'_, Extensions> {
        self.extensions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Service<Request> for Rest<'a> {
    type Response = Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response>> + Send + 'a>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let rest = self.clone();
        Box::pin(async move {
            let mut extensions = rest.extensions().clone();
            let answer = rest.next.clone().run(request, &mut extensions).await;
            *rest.extensions() = extensions;
            answer
        })
    }
}
