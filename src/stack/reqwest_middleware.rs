//! Implements the layers as middleware of `reqwest_middleware::ClientBuilder`.

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

use super::as_written::AsWritten;
use crate::{
    fallback::TogetherFallbackLayer, layer::TogetherLayer, rate_limit::TogetherRateLimitLayer,
    retry::TogetherRetryLayer, words::Rejected,
};

macro_rules! middleware {
    ($($layer:ty),*) => {$(
        /// Use it with `reqwest_middleware::ClientBuilder::with`. Values set by `with_extension` are used as the
        /// request's [extensions](crate::extension).
        #[async_trait::async_trait]
        impl Middleware for $layer {
            async fn handle(
                &self,
                request: Request,
                extensions: &mut Extensions,
                next: Next<'_>,
            ) -> Result<Response> {
                let request = AsWritten::with(request, extensions)?;
                // A copy, so that a dropped call leaves its caller's extensions unchanged.
                let rest = Rest::new(next, extensions.clone());
                // Always ready: see the service's own `poll_ready`.
                let response = self.layer(rest.clone()).call(request).await;
                *extensions = mem::take(&mut *rest.extensions());
                response
            }
        }
    )*};
}

middleware!(
    TogetherLayer,
    TogetherRateLimitLayer,
    TogetherRetryLayer,
    TogetherFallbackLayer
);

/// Middleware that converts a rejection by a limiter beneath to an error, which carries the [`Rejected`]. Pass it
/// to `ClientBuilder::with` before the layers: see the [module](super#rejections-as-errors).
// A unit struct for good: it only converts types, and has nothing to set.
#[derive(Clone, Copy, Debug, Default)]
pub struct RejectionsAsErrors;

#[async_trait::async_trait]
impl Middleware for RejectionsAsErrors {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let response = next.run(request, extensions).await?;
        match Rejected::of(response.extensions()) {
            Some(rejected) => Err(Error::middleware(rejected.clone())),
            None => Ok(response),
        }
    }
}

/// The rest of the chain after a layer, as a service.
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
            let response = rest.next.clone().run(request, &mut extensions).await;
            *rest.extensions() = extensions;
            response
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::to_bytes};
    use http::StatusCode;
    use reqwest_middleware::ClientBuilder;
    use tower::{BoxError, ServiceBuilder, ServiceExt};

    use super::*;
    use crate::words::{Limits, extension::Served};

    /// Responds with its model, or that the model is overloaded.
    async fn server() -> std::io::Result<String> {
        let response = async |request: axum::extract::Request| {
            let body = to_bytes(request.into_body(), usize::MAX).await;
            let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
            let overloaded = body.contains("large");
            let status = match overloaded {
                true => StatusCode::SERVICE_UNAVAILABLE,
                false => StatusCode::OK,
            };
            (status, body)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v1/chat/completions", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(response)).await });
        Ok(url)
    }

    async fn check(response: Response) {
        let served = response.extensions().get::<Served>().map(Served::model);
        assert_eq!(served, Some("small"));
        assert!(response.url().path().ends_with("completions"));
        assert_eq!(response.text().await.unwrap(), r#"{"model":"small"}"#);
    }

    /// A fallback also works over the layers that accept reqwest's requests.
    #[tokio::test]
    async fn a_fallback_over_reqwest_as_a_service_and_as_middleware()
    -> std::result::Result<(), BoxError> {
        let url = server().await?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let fallback = TogetherFallbackLayer::new()
            .with_chain("large", ["small"])
            .with_max_503s(1);
        let both = TogetherLayer::new(Limits::none());
        let request = client.post(&url).body(r#"{"model":"large"}"#);

        let middleware = ClientBuilder::new(client.clone())
            .with(fallback.clone())
            .with(both.clone())
            .build();
        check(
            middleware
                .execute(request.try_clone().unwrap().build()?)
                .await?,
        )
        .await;

        let mut service = ServiceBuilder::new()
            .layer(fallback)
            .layer(both)
            .service(client);
        check(service.ready().await?.call(request.build()?).await?).await;
        Ok(())
    }
}
