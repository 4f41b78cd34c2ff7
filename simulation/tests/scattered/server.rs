//! A server with a bucket that fails some of the requests it has room for.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use simulation::{
    counter::Kind::Bucket,
    limit::Moves,
    server::{Server as Limited, Tokens},
    setting::rules,
};
use testing::now;
use tokio::time::{Instant, sleep};

#[derive(Clone)]
pub(crate) struct Server(Arc<Mutex<World>>);

struct World {
    start: Instant,
    limited: Limited,
    random: fastrand::Rng,
    accepted: u32,
}

/// The fate of a request that there is room for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    Accepted,
    /// A 429, and the wait that it names, in milliseconds.
    Rejected(Option<u64>),
    /// A status, at once.
    Fails(u16),
    /// The connection is reset.
    Reset,
}

pub(crate) type Outcome = io::Result<Response<Full<Bytes>>>;

impl Server {
    pub(crate) fn new(moves: Moves, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self(Arc::new(Mutex::new(World {
            start: now(),
            limited: Limited::new(rules(Bucket, moves), &mut random),
            random,
            accepted: 0,
        })))
    }

    pub(crate) fn accepted(&self) -> u32 {
        self.0.lock().unwrap().accepted
    }

    pub(crate) async fn send(&self, fate: impl FnOnce(&mut fastrand::Rng) -> Fate) -> Outcome {
        let [there, takes, back] = self.times();
        sleep(there).await;
        let fate = self.0.lock().unwrap().decide(fate);
        if fate == Fate::Accepted {
            sleep(takes).await;
        }
        sleep(back).await;
        fate.outcome()
    }

    /// The times of a request's way, its work and its response's way.
    fn times(&self) -> [Duration; 3] {
        let random = &mut self.0.lock().unwrap().random;
        [10..=40, 50..=500, 10..=40].map(|range| Duration::from_millis(random.u64(range)))
    }
}

impl World {
    fn decide(&mut self, fate: impl FnOnce(&mut fastrand::Rng) -> Fate) -> Fate {
        let at = now() - self.start;
        let wait = self.limited.wait(at);
        if !wait.is_zero() {
            return Fate::Rejected(Some(1_000 * wait.as_millis().div_ceil(1_000) as u64));
        }
        let fate = fate(&mut self.random);
        if fate == Fate::Accepted {
            self.limited.arrival(at, Tokens::default());
            self.accepted += 1;
        }
        fate
    }
}

impl Fate {
    fn outcome(self) -> Outcome {
        let (status, wait) = match self {
            Self::Accepted => (StatusCode::OK, None),
            Self::Rejected(wait) => (StatusCode::TOO_MANY_REQUESTS, wait),
            Self::Fails(status) => (StatusCode::from_u16(status).unwrap(), None),
            Self::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
        };
        let mut response = Response::builder().status(status);
        if let Some(wait) = wait {
            response = response.header(RETRY_AFTER, (wait as f64 / 1e3).to_string());
        }
        Ok(response.body(Full::default()).unwrap())
    }
}
