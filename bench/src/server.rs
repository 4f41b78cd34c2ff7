//! A server on its own thread that responds at once.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::{calls::runtime_with_sockets, events::Events};

/// A server that runs as long as the process.
#[derive(Clone, Debug)]
pub struct Server {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Starts a server at a free port.
    pub fn start() -> Self {
        let runtime = runtime_with_sockets();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.expect("some port is free");
        let server = Self {
            address: listener.local_addr().expect("it was bound"),
            connections: Arc::default(),
        };
        let connections = Arc::clone(&server.connections);
        thread::spawn(move || runtime.block_on(serve(listener, &connections)));
        server
    }

    /// Connections that were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, connections: &AtomicUsize) {
    loop {
        let (stream, _) = listener.accept().await.expect("the clients are few");
        stream.set_nodelay(true).expect("it is open");
        connections.fetch_add(1, Ordering::Relaxed);
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(respond));
        // A client that disconnects is no failure.
        tokio::spawn(async { drop(connection.await) });
    }
}

/// Reads the request to its end, so that the connection can be reused.
async fn respond(request: Request<Incoming>) -> hyper::Result<Response<ServerResponse>> {
    let streams = request.uri().query() == Some("stream");
    request.into_body().collect().await?;
    let (response, content_type) = if streams {
        (Events::new().boxed(), "text/event-stream")
    } else {
        (Full::new(RESPONSE).boxed(), "application/json")
    };
    let mut response = Response::new(response);
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}

type ServerResponse = BoxBody<Bytes, Infallible>;

const RESPONSE: Bytes = Bytes::from_static(br#"{"choices":[]}"#);
