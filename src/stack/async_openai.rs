use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use async_openai::{error::OpenAIError, middleware::HttpRequestFactory};
use tower_layer::Layer;
use tower_service::Service;

/// Adapts a service of reqwest's requests to `async_openai::Client::with_http_service`.
///
/// It goes outermost. It replaces the client's own retries, which `with_http_service` removes.
///
/// ```
/// use async_openai::{Client, config::OpenAIConfig};
/// use tower::ServiceBuilder;
/// use tower_together::{TogetherLayer, stack::AsyncOpenAiLayer};
///
/// let config = OpenAIConfig::new()
///     .with_api_base("https://api.together.ai/v1")
///     .with_api_key("YOUR_KEY");
/// let http = ServiceBuilder::new()
///     .layer(AsyncOpenAiLayer)
///     .layer(TogetherLayer::default())
///     .service(reqwest::Client::new());
/// let client = Client::with_config(config).with_http_service(http);
/// ```
// A unit struct for good: it only converts types, and has nothing to set.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncOpenAiLayer;

impl<S> Layer<S> for AsyncOpenAiLayer {
    type Service = AsyncOpenAi<S>;

    fn layer(&self, inner: S) -> AsyncOpenAi<S> {
        AsyncOpenAi { inner }
    }
}

/// A service of async-openai's requests over one of reqwest's. See [`AsyncOpenAiLayer`].
#[derive(Clone, Debug)]
pub struct AsyncOpenAi<S> {
    inner: S,
}

impl<S> Service<HttpRequestFactory> for AsyncOpenAi<S>
where
    S: Service<reqwest::Request, Response = reqwest::Response> + Clone + Send + 'static,
    S::Error: Into<OpenAIError>,
    S::Future: Send,
{
    type Response = reqwest::Response;
    type Error = OpenAIError;
    type Future = OpenAiFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, factory: HttpRequestFactory) -> OpenAiFuture {
        // Use the service that is ready. The request is built once, since the layers below can send it again.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        OpenAiFuture(Box::pin(async move {
            let request = factory.build().await?;
            inner.call(request).await.map_err(Into::into)
        }))
    }
}

/// The response to a request of async-openai.
pub struct OpenAiFuture(Pin<Box<dyn Future<Output = OpenAiResult> + Send>>);

type OpenAiResult = Result<reqwest::Response, OpenAIError>;

impl Future for OpenAiFuture {
    type Output = OpenAiResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<OpenAiResult> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for OpenAiFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiFuture").finish_non_exhaustive()
    }
}
