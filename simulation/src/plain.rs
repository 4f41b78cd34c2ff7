//! The behaviour of most programs: a token bucket, and callers that each sleep as long as the server says.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::header::RETRY_AFTER;
use testing::now;
use tokio::time::{Instant, sleep, sleep_until};

use crate::network::Network;

/// A bucket of 600 that refills 600 a minute, stored as the instant at which it is full again.
#[derive(Clone)]
pub(crate) struct Plain(Arc<Mutex<Instant>>);

impl Plain {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(now())))
    }

    pub(crate) async fn work(self, network: Network, client: usize) {
        loop {
            sleep_until(self.token()).await;
            let response = network.send(client, 0).await;
            if response.status().is_success() {
                continue;
            }
            let seconds = response.headers().get(RETRY_AFTER);
            let seconds = seconds.map(|seconds| seconds.to_str().unwrap().parse().unwrap());
            let wait = seconds.map_or(UNTOLD, Duration::from_secs);
            // A little longer than the server says, each time by another amount.
            sleep(wait + wait.mul_f64(0.1 * fastrand::f64())).await;
        }
    }

    /// Takes a token, and returns the instant at which it is available.
    fn token(&self) -> Instant {
        let mut full = self.0.lock().unwrap();
        let now = now();
        let missing = full.saturating_duration_since(now);
        *full = now + missing + INTERVAL;
        now + (missing + INTERVAL).saturating_sub(INTERVAL * CAPACITY)
    }
}

const CAPACITY: u32 = 600;
const INTERVAL: Duration = Duration::from_millis(100);
const UNTOLD: Duration = Duration::from_secs(5);
