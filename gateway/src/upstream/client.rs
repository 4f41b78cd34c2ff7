//! The way to the API: an HTTP client that knows nothing of limits, with the layer in front of it.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::timeout_at;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_together::{Classify, Limiter, TogetherLayer, TogetherRetryLayer};

use crate::{
    body::{Memory, ahead::Ahead},
    connection::descriptors::Descriptors,
    error,
    monitor::{self, Monitor, record::Record},
    upstream::target::Target,
};

/// A service that sends each request in its turn, and retries it if necessary.
pub(crate) type Sender = BoxCloneSyncService<Request<Ahead>, Response<Body>, BoxError>;

/// The state that observes each attempt.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) first_byte: Duration,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) descriptors: Descriptors,
}

pub(crate) fn sender(
    limiter: Limiter,
    target: &Target,
    memory: &Memory,
    observer: Observer,
) -> Sender {
    let client = observed(http(target.http2), observer);
    let classify = Classify::together().with_prefix(&target.prefix);
    // A body that was read ahead is already counted and can be sent again, so this buffer only keeps clones.
    let again = tower_together::body::ReplayBuffer::new(memory.each(), usize::MAX);
    let layer = TogetherLayer::from(limiter)
        .with_retry(TogetherRetryLayer::new().with_replay_buffer(again))
        .with_classify(classify);
    let service = layer.layer(client); // <- here
    BoxCloneSyncService::new(service.map_response(|response| response.map(Body::new)))
}

/// Counts each attempt of the layer as it passes.
fn observed<C>(
    client: Client<C, Ahead>,
    observer: Observer,
) -> impl Service<Request<Ahead>, Response = Response<Body>, Error = BoxError, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
where
    C: Connect + Clone + Send + Sync + 'static,
{
    service_fn(move |request| observer.clone().send(client.clone(), request))
}

impl Observer {
    async fn send<C>(
        self,
        client: Client<C, Ahead>,
        request: Request<Ahead>,
    ) -> Result<Response<Body>, BoxError>
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        let descriptor = self.descriptors.attempt().await;
        let record = request.extensions().get::<Arc<Record>>();
        let until = record.and_then(|record| {
            self.monitor.sent(record);
            record.first_byte(self.first_byte)
        });
        let sending = client.request(request);
        let result = match until {
            None => sending.await,
            Some(until) => match timeout_at(until, sending).await {
                Ok(result) => result,
                Err(_) => {
                    self.monitor.came(Err(monitor::silent(self.first_byte)));
                    return Ok(error::silent(self.first_byte));
                }
            },
        };
        let result = result.map_err(BoxError::from);
        self.monitor.came(match &result {
            Ok(response) => Ok(response.status()),
            Err(error) => Err(error::with_causes(&**error)),
        });
        let response = result?;
        // Holds the descriptor until the body ends.
        let hold = move |body: Incoming| {
            body.map_frame(move |frame| {
                let _ = &descriptor;
                frame
            })
        };
        Ok(response.map(|body| Body::new(hold(body))))
    }
}

/// Uses HTTP/1 unless HTTP/2 is asked for. A server allows about 100 streams on an HTTP/2 connection, and the pool
/// opens one connection. The next response would wait for the end of another while it holds a slot.
fn http(http2: bool) -> Client<impl Connect + Clone + Send + Sync + 'static, Ahead> {
    let mut tcp = HttpConnector::new();
    // Without this, a request of several frames waits 40 ms for the server's ACK of the first.
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    // Detects a peer that vanished, and gives its slot back.
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http();
    let connector = match http2 {
        true => connector.enable_http2().wrap_connector(tcp),
        false => connector.enable_http1().wrap_connector(tcp),
    };
    Client::builder(TokioExecutor::new())
        .http2_only(http2)
        // Both are needed: without a timer no idle connection is closed.
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(KEEP_ALIVE)
        .build(connector)
}

const CONNECT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Shorter than servers keep idle connections, so that few requests meet one that is just being closed.
const IDLE: Duration = Duration::from_secs(30);
