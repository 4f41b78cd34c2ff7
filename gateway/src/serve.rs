//! Accepts connections until the gateway is asked to stop.

use std::{pin::pin, process::exit, sync::Arc, time::Duration};

use axum::{Router, serve::Listener};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::{net::TcpListener, signal::ctrl_c, time::sleep};

use crate::{
    connection::{Peer, serve_one},
    gateway::Gateway,
    say::{flush, say},
};

/// Serves until it is asked to stop, then until all calls in flight or the grace period has ended. Returns the number
/// of calls that were cut.
pub(crate) async fn serve(mut listener: TcpListener, app: Router, gateway: &Arc<Gateway>) -> usize {
    let open = GracefulShutdown::new();
    let mut stop = pin!(asked_to_stop());
    loop {
        let accept = async {
            let descriptor = gateway.descriptors.connection().await;
            // axum's own `accept`, which waits when the system has no file descriptor left.
            let (stream, address) = Listener::accept(&mut listener).await;
            (stream, address, descriptor)
        };
        let (stream, address, descriptor) = tokio::select! {
            // The first poll begins to listen for the signals, which end the process at once until then.
            biased;
            () = &mut stop => break,
            accepted = accept => accepted,
        };
        let peer = Peer::of(address, &gateway.traffic);
        let serving = serve_one(stream, peer, app.clone(), open.watcher());
        tokio::spawn(async move {
            serving.await;
            drop(descriptor);
        });
    }
    drop(listener);
    let shutdown = &gateway.shutdown;
    let grace = shutdown.grace().as_secs_f64();
    say(&format!(
        "ending: calls in flight get {grace} s; Ctrl-C again ends at once"
    ));
    shutdown.close();
    // Queued calls are rejected now, and retried by their programs.
    gateway
        .limiter
        .close_with_retry_after(shutdown.retry_after());
    let mut ended = pin!(open.shutdown());
    tokio::select! {
        () = &mut ended => return 0,
        () = sleep(shutdown.grace()) => shutdown.end(),
        () = asked_to_stop() => end_at_once(),
    }
    tokio::select! {
        () = &mut ended => {}
        () = sleep(LAST_WORDS) => {}
        () = asked_to_stop() => end_at_once(),
    }
    // A program that reads nothing has not received its last event.
    shutdown.cut() + gateway.traffic.counts().calls
}

/// Waits for Ctrl-C, or the signal that service managers send.
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

fn end_at_once() -> ! {
    flush();
    exit(130)
}

/// The time to send the responses of calls that were cut.
const LAST_WORDS: Duration = Duration::from_secs(1);
