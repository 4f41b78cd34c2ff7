//! A server that fails from its third minute to its fourth, and counts the requests that reach it.

use std::{
    io,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header::RETRY_AFTER};
use http_body_util::{BodyExt, Full};
use testing::now;
use tokio::time::{Instant, sleep};
use tower::BoxError;

/// The way in which it fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outage {
    /// It responds with this status.
    Status(u16),
    /// It responds with 503 and a wait of this many seconds.
    Says(u64),
    /// It refuses connections.
    Unconnected,
}

#[derive(Clone)]
pub(crate) struct Server {
    outage: Outage,
    start: Instant,
    ledger: Arc<Mutex<Ledger>>,
}

/// The requests that reached the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// The time of each, since the server started.
    attempts: Vec<Duration>,
    /// The texts that succeeded, in that order.
    succeeded: Vec<usize>,
}

impl Server {
    pub(crate) fn new(outage: Outage) -> Self {
        Self {
            outage,
            start: now(),
            ledger: Arc::default(),
        }
    }

    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, BoxError> {
        sleep(DELAY).await;
        let body = request.into_body().collect().await?.to_bytes();
        let at = now() - self.start;
        self.ledger.lock().unwrap().attempts.push(at);
        if OUTAGE.contains(&at) {
            sleep(DELAY).await;
            return self.fails();
        }
        sleep(WORKS).await;
        let text = std::str::from_utf8(&body)?.parse()?;
        self.ledger.lock().unwrap().succeeded.push(text);
        sleep(DELAY).await;
        Ok(Response::new(Full::default()))
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.ledger.lock().unwrap().clone()
    }

    fn fails(&self) -> Result<Response<Full<Bytes>>, BoxError> {
        let response = Response::builder();
        let response = match self.outage {
            Outage::Status(status) => response.status(status),
            Outage::Says(seconds) => response.status(503).header(RETRY_AFTER, seconds),
            Outage::Unconnected => {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
            }
        };
        Ok(response.body(Full::default())?)
    }
}

impl Ledger {
    /// The number of attempts that reached it in `time`.
    pub(crate) fn attempts(&self, time: &Range<Duration>) -> usize {
        let within = |at: &&Duration| time.contains(at);
        self.attempts.iter().filter(within).count()
    }

    /// The texts that succeeded, ordered by number.
    pub(crate) fn succeeded(&self) -> Vec<usize> {
        let mut succeeded = self.succeeded.clone();
        succeeded.sort_unstable();
        succeeded
    }
}

pub(crate) const OUTAGE: Range<Duration> = Duration::from_secs(120)..Duration::from_secs(180);
const DELAY: Duration = Duration::from_millis(50);
const WORKS: Duration = Duration::from_millis(200);
