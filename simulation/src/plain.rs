//! The behaviour of most programs: a token bucket, and callers that each sleep as long as the server says.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::header::RETRY_AFTER;
use testing::now;
use tokio::time::{Instant, sleep, sleep_until};

use crate::network::Network;

/// A bucket that holds a minute's requests, stored as the instant at which it is full again.
#[derive(Clone)]
pub struct Bucket {
    full: Arc<Mutex<Instant>>,
    capacity: u32,
    interval: Duration,
}

impl Bucket {
    pub fn per_minute(max: u32) -> Self {
        Self {
            full: Arc::new(Mutex::new(now())),
            capacity: max,
            interval: Duration::from_secs(60) / max,
        }
    }

    /// Takes a token, and returns the instant at which it is available.
    pub fn take(&self) -> Instant {
        let mut full = self.full.lock().unwrap();
        let now = now();
        let missing = full.saturating_duration_since(now);
        *full = now + missing + self.interval;
        now + (missing + self.interval).saturating_sub(self.interval * self.capacity)
    }

    /// Sends requests without end, each when there is a token for it.
    pub(crate) async fn work(self, network: Network, client: usize) {
        loop {
            sleep_until(self.take()).await;
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
}

const UNTOLD: Duration = Duration::from_secs(5);
