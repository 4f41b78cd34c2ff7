//! [governor](https://docs.rs/governor), with a second limiter where tokens are limited.

use std::{num::NonZeroU32, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, ReasonablyRealtime},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use testing::now;
use tokio::time::{Instant, sleep};

use super::{Given, Tokens, Turns};
use crate::wire::Call;

pub(super) struct Governor {
    requests: Limiter,
    tokens: Option<(Limiter, Tokens)>,
    /// Whether a call is charged all of `max_tokens`, as [OpenAI's cookbook does][cookbook]. Otherwise it is charged
    /// the mean of the responses, by a user who knows it.
    ///
    /// [cookbook]: https://github.com/openai/openai-cookbook/blob/main/examples/api_request_parallel_processor.py
    reserves: bool,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Virtual, NoOpMiddleware<Duration>>;

/// One request at a time, evenly spaced.
pub(super) fn even(given: Given) -> Governor {
    let one = Quota::per_minute(number(given.requests)).allow_burst(NonZeroU32::MIN);
    new(one, given, false)
}

/// The default: up to a minute's requests at once.
pub(super) fn full(given: Given) -> Governor {
    new(Quota::per_minute(number(given.requests)), given, false)
}

pub(super) fn reserving(given: Given) -> Governor {
    let one = Quota::per_minute(number(given.requests)).allow_burst(NonZeroU32::MIN);
    new(one, given, true)
}

fn new(quota: Quota, given: Given, reserves: bool) -> Governor {
    let limiter = |quota| RateLimiter::direct_with_clock(quota, Virtual(now()));
    let tokens = given.tokens.map(|tokens| {
        let quota = Quota::per_minute(number(tokens.per_minute));
        (limiter(quota), tokens)
    });
    Governor {
        requests: limiter(quota),
        tokens,
        reserves,
    }
}

/// `until_ready` and `until_n_ready` do the same, and sleep in real time.
impl Turns for Governor {
    fn turn(&self, call: Call) -> BoxFuture<'_, ()> {
        async move {
            if let Some((limiter, tokens)) = &self.tokens {
                let output = if self.reserves {
                    tokens.most
                } else {
                    tokens.mean
                };
                let cost = number(call.tokens.prompt + output);
                while let Err(later) = limiter.check_n(cost).expect("a minute holds a call") {
                    wait(limiter, later).await;
                }
            }
            while let Err(later) = self.requests.check() {
                wait(&self.requests, later).await;
            }
        }
        .boxed()
    }
}

async fn wait(limiter: &Limiter, until: NotUntil<Duration>) {
    sleep(until.wait_time_from(limiter.clock().now())).await;
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("a limit above 0")
}

/// The time since the limiter was made, in virtual time.
#[derive(Clone)]
struct Virtual(Instant);

impl Clock for Virtual {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

impl ReasonablyRealtime for Virtual {}
