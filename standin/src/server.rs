//! The running server and its handle.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::{Answer, Arrival, Builder, Stats, app::router, ledger::Ledger, shared::Shared};

/// A running stand-in; it stops when this is dropped.
#[derive(Debug)]
#[must_use = "the server stops when its handle is dropped"]
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl StandIn {
    /// Sets one up.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Starts one with all defaults, on a free port.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    pub(crate) fn serve(listener: TcpListener, shared: Shared) -> io::Result<Self> {
        let shared = Arc::new(shared);
        Ok(Self {
            address: listener.local_addr()?,
            accepting: tokio::spawn(accept(listener, router(Arc::clone(&shared)))),
            shared,
        })
    }

    /// Where it listens: `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What arrived so far.
    pub fn stats(&self) -> Stats {
        self.shared.books().ledger.stats()
    }

    /// The requests in the order they arrived; the first million of them.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.shared.books().ledger.arrivals()
    }

    /// Sets stats and arrivals to zero. The clock goes on, and what was consumed stays consumed.
    pub fn reset(&self) {
        self.shared.books().ledger = Ledger::default();
    }

    /// Adds an answer to those waiting for a method and path, such as `"POST"` and `"/batches"`;
    /// a version before the path does not matter, neither here nor in the request.
    ///
    /// It goes before all else: on a known route no key, body or limit is looked at. It consumes
    /// nothing, but it is counted.
    ///
    /// # Panics
    /// If the path does not begin with a slash.
    pub fn script(&self, method: impl AsRef<str>, path: &str, answer: Answer) {
        assert!(
            path.starts_with('/'),
            "a path begins with a slash: write \"/{path}\""
        );
        let mut books = self.shared.books();
        books.script.push(method.as_ref(), path, answer);
    }

    /// How many streams have begun and not sent their `[DONE]` yet.
    pub fn open_streams(&self) -> usize {
        self.shared.streams.open()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves each connection in a task of its own. They are held here, so that they end when this
/// future is dropped; `axum::serve` would leave them running.
async fn accept(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Not fatal: the answers just come a little later.
                    let _ = stream.set_nodelay(true);
                    let service = TowerToHyperService::new(router.clone());
                    connections.spawn(async move {
                        // A connection ends as its client likes; there is nobody to tell.
                        let _ = auto::Builder::new(TokioExecutor::new())
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
                // Out of file descriptors, mostly: some will be closed.
                Err(_) => sleep(ACCEPT_AGAIN).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

const ACCEPT_AGAIN: Duration = Duration::from_millis(10);
