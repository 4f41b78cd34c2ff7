//! The front door: who connects, and how it is closed.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    process::exit,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::ctrl_c,
    sync::oneshot,
    time::sleep,
};
use tower_together::Limiter;

use crate::{
    say,
    traffic::{Connection, Traffic},
};

/// Counts connections, and sends what is small at once.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) traffic: Arc<Traffic>,
}

/// Who is at the other end of a connection. It lives as long as that.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    _connection: Option<Arc<Connection>>,
}

impl Peer {
    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

impl Listener for Door {
    type Io = TcpStream;
    type Addr = Peer;

    async fn accept(&mut self) -> (TcpStream, Peer) {
        // axum's own, which waits when the process has no file descriptor left.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Or the second of two events waits 40 ms for the program's word on the first.
        let _ = stream.set_nodelay(true);
        let connection = Some(Arc::new(self.traffic.connect()));
        let peer = Peer {
            address,
            _connection: connection,
        };
        (stream, peer)
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer {
            address: self.listener.local_addr()?,
            _connection: None,
        })
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Serves until it is asked to stop, and then for as long as calls are under way, but no longer than
/// [`GRACE`].
pub(crate) async fn serve(door: Door, app: Router, limiter: Limiter) -> io::Result<()> {
    let (closing, closed) = oneshot::channel();
    let stop = async move {
        asked_to_stop().await;
        say("ending: calls under way get some seconds; Ctrl-C again ends at once");
        // Who waits for a turn is told now; what has left is answered.
        limiter.close();
        let _ = closing.send(());
    };
    let app = app.into_make_service_with_connect_info::<Peer>();
    let serving = axum::serve(door, app)
        .with_graceful_shutdown(stop)
        .into_future();
    let too_long = async {
        if closed.await.is_ok() {
            tokio::select! {
                () = sleep(GRACE) => {}
                () = asked_to_stop() => exit(130),
            }
        }
    };
    tokio::select! {
        served = serving => served,
        () = too_long => Ok(()),
    }
}

/// Ctrl-C, or what service managers send.
async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = ctrl_c().await;
}

/// Less than service managers and containers wait before they kill.
const GRACE: Duration = Duration::from_secs(8);
