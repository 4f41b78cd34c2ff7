//! reqwest-middleware: both layers as one middleware, and as two with another between them.

use futures::{FutureExt, future::BoxFuture};
use http::Extensions;
use reqwest::{Body, Client, Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Next, Result};
use tower_together::extension::Deadline;

use super::{Shows, Stack, serve};
use crate::{
    ask::{Ask, Kind, PATH},
    layers::Layers,
    response::AnyResponse,
    upstream::Upstream,
};

pub(crate) struct Middleware(UrlClient);

impl Stack for Middleware {
    const SHOWS: Shows = Shows::All;

    async fn start(upstream: Upstream, layers: Layers) -> Self {
        let client = ClientBuilder::new(Client::new()).with(layers.both());
        Self(UrlClient::new(upstream, client).await)
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        self.0.send(ask)
    }
}

pub(crate) struct TwoMiddlewares(UrlClient);

impl Stack for TwoMiddlewares {
    const SHOWS: Shows = Shows::All;

    async fn start(upstream: Upstream, layers: Layers) -> Self {
        let client = ClientBuilder::new(Client::new())
            .with(layers.retry)
            .with(PassThrough)
            .with(layers.rate_limit)
            .with(PassThrough);
        Self(UrlClient::new(upstream, client).await)
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        self.0.send(ask)
    }
}

/// A third party's middleware.
struct PassThrough;

#[tonic::async_trait]
impl reqwest_middleware::Middleware for PassThrough {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        next.run(request, extensions).await
    }
}

struct UrlClient {
    url: String,
    client: ClientWithMiddleware,
}

impl UrlClient {
    async fn new(upstream: Upstream, client: ClientBuilder) -> Self {
        let url = serve::upstream(upstream).await;
        Self {
            url,
            client: client.build(),
        }
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        let request = self.client.post(format!("{}{PATH}", self.url));
        let mut request = request.headers(ask.headers()).body(match ask.kind {
            Kind::Whole | Kind::Streamed => Body::from(ask.json()),
            Kind::Upload => Body::wrap(ask.http(&self.url).into_body()),
        });
        if let Some(deadline) = ask.deadline {
            request = request.with_extension(Deadline::within(deadline));
        }
        async move { AnyResponse::http(request.send().await.unwrap().into(), ask.kind).await }
            .boxed()
    }
}
