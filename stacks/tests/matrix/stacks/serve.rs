//! A socket for a service.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{BoxError, Service, service_fn};

use crate::{ask::AnyBody, upstream::Upstream};

/// Serves `service` over HTTP/1 and HTTP/2, and returns its URL.
pub(crate) async fn serve<S, R>(service: S) -> String
where
    S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    format!("http://{address}")
}

/// The upstream, as an HTTP server.
pub(crate) async fn upstream(upstream: Upstream) -> String {
    let response = move |request| {
        let response = upstream.clone().respond(request);
        async { Ok(response.await) }
    };
    serve(service_fn(response)).await
}

/// A client without our layers.
pub(crate) fn plain(http2: bool) -> Client<HttpConnector, AnyBody> {
    Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build_http()
}
