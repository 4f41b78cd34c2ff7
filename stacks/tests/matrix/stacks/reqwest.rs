//! reqwest's client: with its own requests, and with http's.

use futures::{FutureExt, future::BoxFuture};
use http::Request;
use reqwest::{Body, Client};
use tower::{Layer, ServiceExt};
use tower_together::stack;

use super::{Shows, Stack, serve};
use crate::{
    ask::{Ask, Kind},
    layers::Layers,
    response::AnyResponse,
    upstream::Upstream,
};

pub(crate) struct Reqwest {
    url: String,
    client: Client,
    layers: Layers,
}

impl Stack for Reqwest {
    const SHOWS: Shows = Shows::All;

    async fn start(upstream: Upstream, layers: Layers) -> Self {
        let (url, client) = (serve::upstream(upstream).await, Client::new());
        Self {
            url,
            client,
            layers,
        }
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        let service = self.layers.clone().both().layer(self.client.clone());
        let request = reqwest::Request::try_from(request(&ask, &self.url)).unwrap();
        async move {
            let response: reqwest::Response = service.oneshot(request).await.unwrap();
            AnyResponse::http(response.into(), ask.kind).await
        }
        .boxed()
    }
}

pub(crate) struct HttpOverReqwest {
    url: String,
    client: stack::HttpOverReqwest<Client>,
    layers: Layers,
}

impl Stack for HttpOverReqwest {
    const SHOWS: Shows = Shows::All;

    async fn start(upstream: Upstream, layers: Layers) -> Self {
        let url = serve::upstream(upstream).await;
        let client = stack::HttpOverReqwest::new(Client::new());
        Self {
            url,
            client,
            layers,
        }
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        let service = self.layers.clone().both().layer(self.client.clone());
        let request = request(&ask, &self.url);
        async move { AnyResponse::http(service.oneshot(request).await.unwrap(), ask.kind).await }
            .boxed()
    }
}

/// A body of one piece is in memory.
fn request(ask: &Ask, url: &str) -> Request<Body> {
    let request = ask.http(url);
    match ask.kind {
        Kind::Whole | Kind::Streamed => request.map(|_| ask.json().into()),
        Kind::Upload => request.map(Body::wrap),
    }
}
