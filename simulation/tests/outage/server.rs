//! A server that is out of order from its third minute to its fourth, and counts what reaches it.

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

/// How it is out of order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outage {
    /// It answers so.
    Answers(u16),
    /// It answers 503, and says for how many seconds.
    Says(u64),
    /// Nobody listens.
    Unconnected,
}

#[derive(Clone)]
pub(crate) struct Server {
    outage: Outage,
    start: Instant,
    ledger: Arc<Mutex<Ledger>>,
}

/// What reached the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// When, since it started.
    attempts: Vec<Duration>,
    /// The texts it answered, in that order.
    answered: Vec<usize>,
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
        self.ledger.lock().unwrap().answered.push(text);
        sleep(DELAY).await;
        Ok(Response::new(Full::default()))
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.ledger.lock().unwrap().clone()
    }

    fn fails(&self) -> Result<Response<Full<Bytes>>, BoxError> {
        let answer = Response::builder();
        let answer = match self.outage {
            Outage::Answers(status) => answer.status(status),
            Outage::Says(seconds) => answer.status(503).header(RETRY_AFTER, seconds),
            Outage::Unconnected => {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
            }
        };
        Ok(answer.body(Full::default())?)
    }
}

impl Ledger {
    /// How many attempts reached it in that time.
    pub(crate) fn attempts(&self, time: &Range<Duration>) -> usize {
        let within = |at: &&Duration| time.contains(at);
        self.attempts.iter().filter(within).count()
    }

    /// The texts it answered, in order of their numbers.
    pub(crate) fn answered(&self) -> Vec<usize> {
        let mut answered = self.answered.clone();
        answered.sort_unstable();
        answered
    }
}

pub(crate) const OUTAGE: Range<Duration> = Duration::from_secs(120)..Duration::from_secs(180);
const DELAY: Duration = Duration::from_millis(50);
const WORKS: Duration = Duration::from_millis(200);
