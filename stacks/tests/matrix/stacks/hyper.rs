//! hyper-util's client, over HTTP/1 and HTTP/2.

use futures::{FutureExt, future::BoxFuture};
use http::Request;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::{Layer, ServiceExt};
use tower_together::body::Opaque;

use super::{Shows, Stack, serve};
use crate::{
    ask::{AnyBody, Ask},
    layers::Layers,
    response::AnyResponse,
    upstream::Upstream,
};

/// The crate does not know this client's bodies.
pub(crate) struct Http1 {
    url: String,
    client: Client<HttpConnector, Opaque<AnyBody>>,
    layers: Layers,
}

impl Stack for Http1 {
    const SHOWS: Shows = Shows::All;

    async fn start(upstream: Upstream, layers: Layers) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let url = serve::upstream(upstream).await;
        Self {
            url,
            client,
            layers,
        }
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        let service = self.layers.clone().both().layer(self.client.clone());
        let request = ask.http(&self.url).map(Opaque::new);
        async move { AnyResponse::http(service.oneshot(request).await.unwrap(), ask.kind).await }
            .boxed()
    }
}

pub(crate) struct Http2 {
    url: String,
    client: Client<HttpConnector, AnyBody>,
    layers: Layers,
}

impl Stack for Http2 {
    const SHOWS: Shows = Shows::All;

    async fn start(upstream: Upstream, layers: Layers) -> Self {
        let (url, client) = (serve::upstream(upstream).await, serve::plain(true));
        Self {
            url,
            client,
            layers,
        }
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        let service = self.layers.clone().both().layer(self.client.clone());
        let request: Request<AnyBody> = ask.http(&self.url);
        async move { AnyResponse::http(service.oneshot(request).await.unwrap(), ask.kind).await }
            .boxed()
    }
}
