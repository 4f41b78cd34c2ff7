//! A hyper server that limits and retries in front of its handler.

use futures::{FutureExt, future::BoxFuture};
use http::Request;
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use tower::{ServiceBuilder, service_fn};
use tower_together::body::Opaque;

use super::{Shows, Stack, serve};
use crate::{
    ask::{AnyBody, Ask},
    layers::Layers,
    response::{AnyResponse, Seen},
    upstream::Upstream,
};

pub(crate) struct HyperServer {
    url: String,
    client: Client<HttpConnector, AnyBody>,
}

impl Stack for HyperServer {
    const SHOWS: Shows = Shows::All;

    async fn start(upstream: Upstream, layers: Layers) -> Self {
        let service = ServiceBuilder::new()
            .map_response(Seen::tell)
            .map_request(|request: Request<Incoming>| request.map(Opaque::new))
            .layer(layers.both())
            .service(service_fn(move |request| {
                let response = upstream.clone().respond(request);
                async { Ok(response.await) }
            }));
        let (url, client) = (serve::serve(service).await, serve::plain(false));
        Self { url, client }
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        let response = self.client.request(ask.over_the_wire(&self.url));
        async move { AnyResponse::http(response.await.unwrap(), ask.kind).await }.boxed()
    }
}
