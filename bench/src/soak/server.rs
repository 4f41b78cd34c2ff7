//! A server that does everything that a client may meet: it rejects, fails, streams slowly, and cuts connections.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, channel::Channel, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, time::sleep};

use crate::calls::runtime_with_sockets;

/// Starts it at a free port, for as long as the process runs.
pub(super) fn start() -> SocketAddr {
    let runtime = runtime_with_sockets();
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let listener = listener.expect("some port is free");
    let address = listener.local_addr().expect("it was bound");
    thread::spawn(move || runtime.block_on(serve(listener)));
    address
}

async fn serve(listener: TcpListener) {
    loop {
        // A client may be gone already.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(respond));
        tokio::spawn(async { drop(connection.await) });
    }
}

type ServerResponse = Response<BoxBody<Bytes, io::Error>>;

async fn respond(request: Request<Incoming>) -> io::Result<ServerResponse> {
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    let number = REQUESTS.fetch_add(1, Relaxed);
    let whole = request.into_body().collect().await;
    whole.map_err(io::Error::other)?;
    let (status, body) = match number {
        n if n % 1_009 == 0 => (StatusCode::TOO_MANY_REQUESTS, whole_body("{}")),
        n if n % 211 == 0 => (StatusCode::SERVICE_UNAVAILABLE, whole_body("{}")),
        n if n % 103 == 0 => return Err(io::ErrorKind::ConnectionReset.into()),
        n if n % 5 == 0 => (StatusCode::OK, slow(n % 515 == 0)),
        _ => (StatusCode::OK, whole_body(USAGE)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    Ok(response)
}

fn whole_body(text: &'static str) -> BoxBody<Bytes, io::Error> {
    let body = Full::from(text).map_err(|never: Infallible| match never {});
    body.boxed()
}

/// A body in pieces, which may be cut.
fn slow(is_cut: bool) -> BoxBody<Bytes, io::Error> {
    let (mut sender, body) = Channel::<Bytes, io::Error>::new(1);
    tokio::spawn(async move {
        for piece in USAGE.as_bytes().chunks(20) {
            sleep(Duration::from_millis(1)).await;
            if sender.send_data(Bytes::from_static(piece)).await.is_err() {
                return;
            }
        }
        if is_cut {
            sender.abort(io::ErrorKind::ConnectionReset.into());
        }
    });
    body.boxed()
}

const USAGE: &str =
    r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30}}"#;
