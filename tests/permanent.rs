//! Connection errors that repeat each time: the request is sent once.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_together::{TogetherRetryLayer, retry::Budget};

/// How often a chat is sent through a client with this connector; it fails each time.
async fn attempts<C>(connector: C, uri: &str) -> usize
where
    C: hyper_util::client::legacy::connect::Connect + Clone + Send + Sync + 'static,
{
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let counted = service_fn(move |request: Request<Full<Bytes>>| {
        count.fetch_add(1, Ordering::Relaxed);
        client.clone().oneshot(request)
    });
    let layer = TogetherRetryLayer::default()
        .with_backoff(Duration::ZERO, Duration::ZERO)
        .with_budget(Budget::unlimited());
    let request = Request::post(uri).body(Full::from("{}")).unwrap();
    layer.layer(counted).oneshot(request).await.unwrap_err();
    sent.load(Ordering::Relaxed)
}

fn https() -> hyper_rustls::HttpsConnector<HttpConnector> {
    let builder = hyper_rustls::HttpsConnectorBuilder::new().with_webpki_roots();
    builder.https_only().enable_http1().build()
}

/// A connector that fails like those of other crates.
#[derive(Clone)]
struct Fails(fn() -> BoxError);

impl Service<Uri> for Fails {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let error = (self.0)();
        Box::pin(async move { Err(error) })
    }
}

#[tokio::test]
async fn a_uri_that_the_client_cannot_connect_to_is_final() {
    let http = HttpConnector::new;
    assert_eq!(
        attempts(http(), "https://127.0.0.1/v1/chat/completions").await,
        1
    );
    assert_eq!(attempts(http(), "/v1/chat/completions").await, 1);
    assert_eq!(
        attempts(https(), "http://127.0.0.1/v1/chat/completions").await,
        1
    );
}

#[tokio::test]
async fn tls_to_a_port_without_it_is_final() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!(
        "https://{}/v1/chat/completions",
        listener.local_addr().unwrap()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let page = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
            page.await.unwrap();
        }
    });
    assert_eq!(attempts(https(), &uri).await, 1);
}

#[tokio::test]
async fn an_error_of_a_connector_is_final_only_if_it_comes_each_time() {
    let cases: [(fn() -> BoxError, usize); 6] = [
        // rustls, through tokio-rustls.
        (
            || {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "invalid peer certificate: UnknownIssuer",
                )
                .into()
            },
            1,
        ),
        (
            || io::Error::other(io::Error::other("invalid peer certificate: Expired")).into(),
            1,
        ),
        // hyper-util, when a proxy rejects CONNECT.
        (|| "tunnel error: proxy authorization required".into(), 1),
        (|| "tunnel error: unsuccessful".into(), 1),
        (|| "tunnel error: unexpected eof".into(), 5),
        (
            || io::Error::from(io::ErrorKind::ConnectionRefused).into(),
            5,
        ),
    ];
    for (error, expected) in cases {
        let sent = attempts(Fails(error), "http://127.0.0.1/v1/chat/completions").await;
        assert_eq!(sent, expected, "{}", error());
    }
}
