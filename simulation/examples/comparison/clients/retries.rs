//! Four retries that wait as long as the server says, or else with exponential backoff and full jitter: what programs
//! put around a limiter, or use alone.

use std::time::Duration;

use futures::{FutureExt, future::BoxFuture};
use tokio::time::sleep;

use super::{Client, Turns};
use crate::wire::{Call, Wire, retry_after, should_retry};

/// A limiter with retries around it, so that each attempt waits for its turn.
struct Retrying<T> {
    wire: Wire,
    limiter: T,
}

/// No limiter.
pub(super) struct Unlimited;

pub(super) fn retrying(wire: Wire, limiter: impl Turns + 'static) -> Box<dyn Client> {
    Box::new(Retrying { wire, limiter })
}

impl<T: Turns> Client for Retrying<T> {
    fn call(&self, call: Call) -> BoxFuture<'_, bool> {
        async move {
            for retry in 0.. {
                self.limiter.turn(call).await;
                let response = self.wire.send(call).await;
                if !should_retry(&response) {
                    return response.is_ok_and(|response| response.status().is_success());
                }
                if retry == RETRIES {
                    break;
                }
                sleep(retry_after(&response).unwrap_or_else(|| backoff(retry))).await;
            }
            false
        }
        .boxed()
    }
}

impl Turns for Unlimited {
    fn turn(&self, _: Call) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

pub(super) fn backoff(retry: u32) -> Duration {
    (FIRST * 2_u32.pow(retry))
        .min(LONGEST)
        .mul_f64(fastrand::f64())
}

/// As many as this crate makes by default.
pub(super) const RETRIES: u32 = 4;
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(20);
