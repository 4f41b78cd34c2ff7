//! The adaptive retry mode of the AWS SDKs, after [botocore][source]: a bucket whose rate follows CUBIC, and which does
//! nothing until the first 429; and a quota for retries. It waits as long as the server says, which botocore does for a
//! header of its own alone.
//!
//! [source]: https://github.com/boto/botocore/tree/develop/botocore/retries

use std::{sync::Mutex, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use http::StatusCode;
use testing::now;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use super::{
    Client, Given,
    retries::{RETRIES, backoff},
};
use crate::wire::{Call, Response, Wire, retry_after, should_retry};

struct Adaptive {
    wire: Wire,
    start: Instant,
    state: Mutex<State>,
    /// Wakes a request that waits for a token, when the rate has changed.
    changed: Notify,
}

struct State {
    pace: Pace,
    /// The tokens left for retries.
    retries: u32,
}

pub(super) fn adaptive(wire: Wire, _: Given) -> Box<dyn Client> {
    Box::new(Adaptive {
        wire,
        start: now(),
        state: Mutex::new(State {
            pace: Pace::default(),
            retries: RETRY_QUOTA,
        }),
        changed: Notify::new(),
    })
}

impl Client for Adaptive {
    fn call(&self, call: Call) -> BoxFuture<'_, bool> {
        async move {
            let mut borrowed = false;
            for retry in 0.. {
                while let Some(wait) = self.take() {
                    let _ = timeout(wait, self.changed.notified()).await;
                }
                let response = self.wire.send(call).await;
                self.record(&response);
                if !should_retry(&response) {
                    self.give_back(if borrowed { RETRY } else { 1 });
                    return response.is_ok_and(|response| response.status().is_success());
                }
                borrowed = retry < RETRIES && self.borrow();
                if !borrowed {
                    break;
                }
                sleep(retry_after(&response).unwrap_or_else(|| backoff(retry))).await;
            }
            false
        }
        .boxed()
    }
}

impl Adaptive {
    fn now(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn take(&self) -> Option<Duration> {
        self.state.lock().unwrap().pace.take(self.now())
    }

    fn record(&self, response: &Response) {
        let throttled =
            matches!(response, Ok(response) if response.status() == StatusCode::TOO_MANY_REQUESTS);
        self.state
            .lock()
            .unwrap()
            .pace
            .record(self.now(), throttled);
        self.changed.notify_one();
    }

    /// Takes the cost of a retry from the quota. A call that fails again loses it.
    fn borrow(&self) -> bool {
        let state = &mut *self.state.lock().unwrap();
        let left = state.retries.checked_sub(RETRY);
        state.retries = left.unwrap_or(state.retries);
        left.is_some()
    }

    fn give_back(&self, tokens: u32) {
        let state = &mut *self.state.lock().unwrap();
        state.retries = (state.retries + tokens).min(RETRY_QUOTA);
    }
}

/// The bucket. Times are in seconds, rates per second.
#[derive(Default)]
struct Pace {
    /// From the first 429 on.
    enabled: bool,
    rate: f64,
    tokens: f64,
    filled: f64,
    measured: f64,
    /// Responses since the half second that `counted_from` names.
    count: f64,
    counted_from: f64,
    /// The rate and the time at the last 429.
    last_rate: f64,
    last_429: f64,
}

impl Pace {
    /// Takes a token, or returns the time until there is one.
    fn take(&mut self, now: f64) -> Option<Duration> {
        if !self.enabled {
            return None;
        }
        self.refill(now);
        if self.tokens < 1.0 - ROUNDING {
            return Some(Duration::from_secs_f64((1.0 - self.tokens) / self.rate));
        }
        self.tokens -= 1.0;
        None
    }

    /// Adjusts the rate to a response.
    fn record(&mut self, now: f64, throttled: bool) {
        self.measure(now);
        let rate = if throttled {
            self.last_rate = match self.enabled {
                true => self.measured.min(self.rate),
                false => self.measured,
            };
            self.last_429 = now;
            self.enabled = true;
            self.last_rate * BETA
        } else {
            let plateau = (self.last_rate * (1.0 - BETA) / SCALE).cbrt();
            SCALE * (now - self.last_429 - plateau).powi(3) + self.last_rate
        };
        self.refill(now);
        self.rate = rate.min(2.0 * self.measured).max(LEAST_RATE);
        self.tokens = self.tokens.min(self.capacity());
    }

    /// A second's tokens, and at least one.
    fn capacity(&self) -> f64 {
        self.rate.max(1.0)
    }

    fn refill(&mut self, now: f64) {
        self.tokens += (now - self.filled) * self.rate;
        self.tokens = self.tokens.min(self.capacity());
        self.filled = now;
    }

    fn measure(&mut self, now: f64) {
        let half = (2.0 * now).floor() / 2.0;
        self.count += 1.0;
        if half > self.counted_from {
            let rate = self.count / (half - self.counted_from);
            self.measured = SMOOTH * rate + (1.0 - SMOOTH) * self.measured;
            (self.count, self.counted_from) = (0.0, half);
        }
    }
}

const BETA: f64 = 0.7;
const SCALE: f64 = 0.4;
const SMOOTH: f64 = 0.8;
const LEAST_RATE: f64 = 0.5;
const RETRY_QUOTA: u32 = 500;
const RETRY: u32 = 5;
const ROUNDING: f64 = 1e-6;
