//! axum, for incoming and for outgoing requests.

use std::time::Duration;

use axum::{Router, body::Body, extract::State, routing::post};
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt, util::MapResponseLayer};
use tower_together::extension::Deadline;

use super::{Shows, Stack, serve};
use crate::{
    ask::{AnyBody, Ask, PATH, TIMEOUT},
    layers::Layers,
    response::{AnyResponse, Seen},
    upstream::Upstream,
};

/// An app with the layers around its routes.
pub(crate) struct AxumIn(UrlClient);

impl Stack for AxumIn {
    const SHOWS: Shows = Shows::All;

    async fn start(upstream: Upstream, layers: Layers) -> Self {
        let app = Router::new()
            .route(
                PATH,
                post(|request: Request<Body>| upstream.respond(request)),
            )
            .layer(layers.both())
            .layer(MapResponseLayer::new(Seen::tell::<Body>));
        Self(UrlClient::new(app).await)
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        self.0.send(ask)
    }
}

/// An app whose handler calls the upstream through the layers.
pub(crate) struct AxumOut(UrlClient);

impl Stack for AxumOut {
    const SHOWS: Shows = Shows::All;

    async fn start(upstream: Upstream, layers: Layers) -> Self {
        let url = serve::upstream(upstream).await;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let api = Api {
            url,
            client,
            layers,
        };
        let app = Router::new().route(PATH, post(pass_on)).with_state(api);
        Self(UrlClient::new(app).await)
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        self.0.send(ask)
    }
}

#[derive(Clone)]
struct Api {
    url: String,
    client: Client<HttpConnector, Body>,
    layers: Layers,
}

async fn pass_on(State(api): State<Api>, request: Request<Body>) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    head.uri = format!("{}{PATH}", api.url).parse().unwrap();
    head.headers.remove("host");
    if let Some(seconds) = head.headers.remove(TIMEOUT) {
        let seconds = seconds.to_str().unwrap().parse().unwrap();
        let deadline = Deadline::within(Duration::from_secs(seconds));
        head.extensions.insert(deadline);
    }
    let service = api.layers.both().layer(api.client);
    let response = service.oneshot(Request::from_parts(head, body)).await;
    Seen::tell(response.unwrap()).map(Body::new)
}

struct UrlClient {
    url: String,
    client: Client<HttpConnector, AnyBody>,
}

impl UrlClient {
    async fn new(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            url,
            client: serve::plain(false),
        }
    }

    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        let response = self.client.request(ask.over_the_wire(&self.url));
        async move { AnyResponse::http(response.await.unwrap(), ask.kind).await }.boxed()
    }
}
