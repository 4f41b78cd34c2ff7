//! One connection of a program: its peer, and how long it may be idle.

pub(crate) mod descriptors;

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, response::Response};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::Watcher},
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, sync::Notify, time::timeout};
use tower::ServiceExt;

use crate::monitor::traffic::{Connection, Traffic};

/// The peer of a connection. It lives as long as the connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    ip: IpAddr,
    _connection: Arc<Connection>,
}

impl Peer {
    pub(crate) fn of(address: SocketAddr, traffic: &Arc<Traffic>) -> Self {
        Self {
            ip: address.ip(),
            _connection: Arc::new(traffic.connect()),
        }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.ip
    }
}

/// Serves a connection until it ends.
pub(crate) async fn serve_one(stream: TcpStream, peer: Peer, app: Router, watcher: Watcher) {
    // Without this, the second of two events waits 40 ms for the program's ACK of the first.
    let _ = stream.set_nodelay(true);
    // Detects a peer that vanished, and gives back everything that it held.
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&keep_alive);

    let asked = Arc::new(Notify::new());
    let service = service_fn({
        let asked = Arc::clone(&asked);
        move |request| {
            asked.notify_one();
            respond(app.clone(), request, peer.clone())
        }
    });
    let serving = builder()
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    let mut serving = pin!(watcher.watch(serving));
    tokio::select! {
        // How the connection ended concerns only its peer.
        _ = &mut serving => return,
        first = timeout(FIRST, asked.notified()) => if first.is_err() {
            return;
        },
    }
    let _ = serving.await;
}

async fn respond(
    app: Router,
    request: Request<Incoming>,
    peer: Peer,
) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    app.oneshot(request).await
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT)
        .max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        // The bytes of a body that are accepted before anything reads it.
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW);
    builder
}

const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The time for the first request head of a connection. hyper's own timer does not run while it detects the HTTP
/// version.
const FIRST: Duration = Duration::from_secs(15);
/// The time for each further head, counted from the response before. It is longer than clients keep an idle connection
/// (Go 90 s, Node 5 s, Python's httpx 5 s). The client therefore closes it, and no call meets a connection that is just
/// being closed.
const NEXT: Duration = Duration::from_secs(100);
/// The buffer for a request head, and for one read of a body.
const BUFFER: usize = 64 * 1024;
const WINDOW: u32 = 256 * 1024;
