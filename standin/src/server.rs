//! The handle of a running server.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::{
    answer::Answer,
    builder::Builder,
    chaos::Chaos,
    jobs::{JobKind, JobReport},
    ledger::{Arrival, Ledger, Stats},
    port::Port,
    route::Route,
    shared::Shared,
};

/// A running stand-in; it stops when this is dropped.
#[derive(Debug)]
#[must_use = "the server stops when its handle is dropped"]
pub struct StandIn {
    port: Arc<Port>,
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

    /// The base URL: `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address)
    }

    /// The requests so far.
    pub fn stats(&self) -> Stats {
        self.shared().books().ledger.stats()
    }

    /// The requests in the order they arrived; the first million of them.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.shared().books().ledger.arrivals()
    }

    /// Sets stats and arrivals to zero. The clock goes on, and what was consumed stays consumed.
    pub fn reset(&self) {
        self.shared().books().ledger = Ledger::default();
    }

    /// Adds a response to those waiting for a method and path, such as `"POST"` and `"/batches"`;
    /// a version before the path does not matter, neither here nor in the request.
    ///
    /// It goes before all else: on a known route no key, body or limit is looked at. It consumes
    /// nothing, but it is counted.
    ///
    /// # Panics
    /// If the path does not begin with a slash.
    pub fn script(&self, method: impl AsRef<str>, path: &str, response: Answer) {
        assert!(
            path.starts_with('/'),
            "a path begins with a slash: write \"/{path}\""
        );
        let mut books = self.shared().books();
        books.script.push(method.as_ref(), path, response);
    }

    /// Is gone for this long: the listener and all connections are closed at once, so that
    /// requests under way break and connections are refused. Then it listens on the same port again.
    /// It does not wait for that. Another outage during one begins the time anew.
    pub fn outage(&self, duration: Duration) {
        self.port.outage(duration);
    }

    /// How many streams have begun and not sent their `[DONE]` yet.
    pub fn open_streams(&self) -> usize {
        self.shared().manner.streams.open()
    }

    /// How many connections are open now.
    pub fn connections(&self) -> usize {
        self.shared().connections.load(Ordering::Relaxed)
    }

    /// How many connections have been accepted since the start; a [`reset`](Self::reset) changes
    /// nothing about it.
    pub fn accepted_connections(&self) -> u64 {
        self.shared().connected.load(Ordering::Relaxed)
    }

    /// How often each of the faults of [`Builder::chaos`] has happened since the start; those that
    /// have not yet are in it with 0. Empty without chaos.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        let books = self.shared().books();
        books.chaos.as_ref().map(Chaos::counts).unwrap_or_default()
    }

    /// How many requests the limits of a route allow a caller from one time since the start to
    /// another, as [`Arrival::at`] counts it: the integral of the rate that is in force. `None` if
    /// none is limited, or if that hangs on the caller, as with [`Limit::dynamic`].
    ///
    /// [`Limit::dynamic`]: crate::Limit::dynamic
    pub fn allowed(&self, route: Route, from: Duration, until: Duration) -> Option<f64> {
        self.shared().books().engine.allowed(route, from, until)
    }

    /// All jobs there have been, in the order they began; those deleted are not among them.
    pub fn jobs(&self) -> Vec<JobReport> {
        let now = self.shared().now();
        self.shared().books().world.reports(now)
    }

    /// The most jobs of a kind that one key ever had at a time.
    pub fn max_concurrent_jobs(&self, kind: JobKind) -> usize {
        self.shared().books().world.most(kind)
    }

    fn shared(&self) -> &Shared {
        &self.port.shared
    }
}

impl Builder {
    /// Binds the address and serves it on the current tokio runtime.
    ///
    /// # Errors
    /// If the address is not one of loopback, or cannot be bound.
    pub async fn start(self) -> io::Result<StandIn> {
        let port = Port::open(self.address()?, self.shared())?;
        Ok(StandIn { port })
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.port.close();
    }
}
