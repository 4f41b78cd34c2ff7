//! A network, and a server at its other end that says when it has room again.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Empty;
use tokio::time::{Instant, sleep};

use crate::{
    counter::{Counter, Kind},
    virtual_time::now,
};

/// The server, as those who send see it.
#[derive(Clone)]
pub(crate) struct Network(Arc<Mutex<World>>);

/// What became of the requests that reached the server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    accepted: u32,
    pub(crate) refused: u32,
}

struct World {
    counter: Counter,
    start: Instant,
    /// Whether it says how long to wait.
    says: bool,
    random: fastrand::Rng,
    outcome: Outcome,
}

impl Network {
    pub(crate) fn new(kind: Kind, says: bool, mut random: fastrand::Rng) -> Self {
        Self(Arc::new(Mutex::new(World {
            counter: Counter::new(kind, PER_SECOND, &mut random),
            start: now(),
            says,
            random,
            outcome: Outcome::default(),
        })))
    }

    /// One request to the server, and its answer back.
    pub(crate) async fn send(&self) -> Response<Empty<Bytes>> {
        sleep(self.between(DELAY)).await;
        let arrived = self.0.lock().unwrap().arrival();
        let thinks = match arrived {
            Ok(()) => self.between(THINKS),
            Err(_) => REFUSES,
        };
        sleep(thinks + self.between(DELAY)).await;
        let mut answer = Response::new(Empty::new());
        if let Err(seconds) = arrived {
            *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            if let Some(seconds) = seconds {
                answer.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
        }
        answer
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.0.lock().unwrap().outcome
    }

    fn between(&self, (from, to): (u64, u64)) -> Duration {
        let millis = 1_000 * from..=1_000 * to;
        Duration::from_micros(self.0.lock().unwrap().random.u64(millis))
    }
}

impl Outcome {
    /// How much of the server's quota was used, in percent.
    pub(crate) fn used(&self) -> f64 {
        100.0 * f64::from(self.accepted) / (PER_SECOND * TEN_MINUTES.as_secs_f64())
    }
}

impl World {
    /// Accepted, or refused, and for how many seconds if it says so.
    fn arrival(&mut self) -> Result<(), Option<u64>> {
        let now = now() - self.start;
        self.counter.pass(now, PER_SECOND);
        let wait = self.counter.wait(now, PER_SECOND);
        if wait.is_zero() {
            self.counter.take(now);
            self.outcome.accepted += 1;
            return Ok(());
        }
        self.outcome.refused += 1;
        Err(self.says.then(|| wait.as_nanos().div_ceil(NANOS) as u64))
    }
}

pub(crate) const TEN_MINUTES: Duration = Duration::from_secs(10 * 60);
/// 600 a minute.
const PER_SECOND: f64 = 10.0;
/// Milliseconds.
const DELAY: (u64, u64) = (10, 90);
const THINKS: (u64, u64) = (500, 3_500);
const REFUSES: Duration = Duration::from_millis(5);
const NANOS: u128 = 1_000_000_000;
