//! The front door: lets connections in until it is closed.

use std::{pin::pin, process::exit, sync::Arc, time::Duration};

use axum::{Router, serve::Listener};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::{net::TcpListener, signal::ctrl_c, time::sleep};
use tower_together::Limiter;

use crate::{
    connection::{Peer, serve_one},
    say,
    traffic::Traffic,
};

/// Serves until it is asked to stop, and then for as long as calls are under way, but no longer than
/// [`GRACE`].
pub(crate) async fn serve(
    mut listener: TcpListener,
    app: Router,
    traffic: Arc<Traffic>,
    limiter: Limiter,
) {
    let open = GracefulShutdown::new();
    let mut stop = pin!(asked_to_stop());
    loop {
        // axum's own `accept`, which waits when the process has no file descriptor left.
        let (stream, address) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            () = &mut stop => break,
        };
        let peer = Peer::of(address, &traffic);
        tokio::spawn(serve_one(stream, peer, app.clone(), open.watcher()));
    }
    drop(listener);
    say("ending: calls under way get some seconds; Ctrl-C again ends at once");
    // Who waits for a turn is told now; what has left is answered.
    limiter.close();
    tokio::select! {
        () = open.shutdown() => {}
        () = sleep(GRACE) => {}
        () = asked_to_stop() => exit(130),
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
