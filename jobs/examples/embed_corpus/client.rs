//! The HTTP client, which knows nothing of limits.

use std::{error::Error, iter, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;
use tower::{BoxError, Service, ServiceExt, service_fn, util::BoxCloneService};

use crate::{proxy::Proxies, traffic::Log};

/// A service that sends requests, be there a layer around it or not.
pub(crate) type Sender = BoxCloneService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

/// How to speak to a server.
#[derive(Clone, Copy)]
pub(crate) struct How {
    /// HTTP/2 without being asked.
    pub(crate) http2: bool,
    /// How long a response may take to begin, or to end.
    pub(crate) patience: Duration,
}

/// Any client that is a tower service will do; this one is hyper's, with TLS, HTTP/1 and HTTP/2.
/// It notes what it sends, and gives up on a response that does not begin in time: the time starts
/// when the request leaves, for this is beneath the layers.
pub(crate) fn http(
    log: Log,
    how: How,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<impl Body<Data = Bytes, Error: Into<BoxError> + Send> + Send>,
    Error = BoxError,
    Future: Send,
> + Clone
+ Send
+ 'static {
    let proxies = Proxies::from_env();
    let mut tcp = HttpConnector::new();
    // Or a request of several frames waits 40 ms for the server's word on the first.
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(proxies.clone().connector(tcp));
    let client = Client::builder(TokioExecutor::new())
        .http2_only(how.http2)
        .build(connector);
    service_fn(move |request: Request<Full<Bytes>>| {
        let request = proxies.authorized(request);
        let (client, log) = (client.clone(), log.clone());
        async move {
            let number = log.sent();
            let response = timeout(how.patience, client.request(request)).await;
            let response = response.map_err(|_| TOO_SLOW)??;
            log.responded(number, response.status());
            Ok(response)
        }
    })
}

/// Reads each response to its end, and makes one type of all services.
pub(crate) fn whole<S, B>(service: S, how: How) -> Sender
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = BoxError, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    BoxCloneService::new(service.and_then(async move |response: Response<B>| {
        let (head, body) = response.into_parts();
        let body = timeout(how.patience, body.collect()).await;
        let body = body.map_err(|_| TOO_SLOW)?.map_err(Into::into)?;
        Ok(Response::from_parts(head, Full::new(body.to_bytes())))
    }))
}

/// An error in one line; hyper's own word for a refused connection is just "client error".
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let chain = iter::successors(Some(error), |&error| error.source());
    let words: Vec<_> = chain.map(ToString::to_string).collect();
    words.join(": ")
}

const TOO_SLOW: &str = "no response in time";
