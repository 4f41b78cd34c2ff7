//! [leaky-bucket](https://docs.rs/leaky-bucket), refilled each second, with a second limiter where tokens are limited.

use std::time::Duration;

use futures::{FutureExt, future::BoxFuture};
use leaky_bucket::RateLimiter;

use super::{Given, Turns};
use crate::wire::Call;

pub(super) struct LeakyBucket {
    requests: RateLimiter,
    /// The limiter, and the mean of the responses.
    tokens: Option<(RateLimiter, u32)>,
}

pub(super) fn new(given: Given) -> LeakyBucket {
    LeakyBucket {
        requests: refilled(given.requests),
        tokens: given
            .tokens
            .map(|tokens| (refilled(tokens.per_minute), tokens.mean)),
    }
}

/// The other settings are the crate's defaults: it starts empty, and holds ten refills.
fn refilled(per_minute: u32) -> RateLimiter {
    let (refill, interval) = match per_minute / 60 {
        0 => (1, Duration::from_secs(60) / per_minute),
        per_second => (per_second as usize, Duration::from_secs(1)),
    };
    RateLimiter::builder()
        .refill(refill)
        .interval(interval)
        .build()
}

impl Turns for LeakyBucket {
    fn turn(&self, call: Call) -> BoxFuture<'_, ()> {
        async move {
            if let Some((tokens, mean)) = &self.tokens {
                tokens.acquire((call.tokens.prompt + mean) as usize).await;
            }
            self.requests.acquire_one().await;
        }
        .boxed()
    }
}
