//! One stack and everything around it.

use std::{num::NonZeroU32, time::Duration};

use futures::future::BoxFuture;
use tokio::{task::JoinHandle, time};
use tower_together::{Endpoint, Limiter, Limits, Quota};

use crate::{
    ask::Ask,
    layers::Layers,
    response::{AnyResponse, Seen},
    stacks::{Shows, Stack},
    upstream::Upstream,
};

pub(crate) struct Bench<S> {
    pub(crate) upstream: Upstream,
    pub(crate) limiter: Limiter,
    stack: S,
}

impl<S: Stack> Bench<S> {
    pub(crate) async fn new(limiter: Limiter) -> Self {
        let upstream = Upstream::default();
        let stack = S::start(upstream.clone(), Layers::new(limiter.clone())).await;
        Self {
            upstream,
            limiter,
            stack,
        }
    }

    pub(crate) async fn fast() -> Self {
        Self::new(Limiter::new(limits(Quota::per_second(1_000).unwrap()))).await
    }

    /// Allows one request in flight.
    pub(crate) async fn single() -> Self {
        let one = NonZeroU32::MIN;
        let limits = Limits::none().in_flight(Endpoint::ChatCompletions, one);
        Self::new(Limiter::new(limits)).await
    }

    pub(crate) fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse> {
        self.stack.send(ask)
    }

    pub(crate) fn spawn(&self, words: &str) -> JoinHandle<AnyResponse> {
        tokio::spawn(self.send(Ask::whole(words)))
    }

    pub(crate) fn waiting(&self) -> usize {
        self.limiter.snapshot().waiting
    }

    /// The number of free slots.
    pub(crate) fn free(&self) -> u64 {
        self.limiter.snapshot().lanes[0].limits[0].left
    }

    /// The texts that reached the upstream, in order.
    pub(crate) fn heard(&self) -> Vec<String> {
        let arrivals = self.upstream.arrivals().into_iter();
        arrivals.map(|arrival| arrival.text).collect()
    }

    /// The layers' reports on a response, if this stack shows them.
    pub(crate) fn seen(response: &AnyResponse) -> Option<&Seen> {
        let shows = match S::SHOWS {
            Shows::All => true,
            Shows::Successes => response.status == 200,
            Shows::None => false,
        };
        assert_eq!(response.seen.is_some(), shows, "{:?}", response.seen);
        response.seen.as_ref()
    }
}

pub(crate) fn limits(quota: Quota) -> Limits {
    Limits::none().requests(Endpoint::ChatCompletions, quota)
}

/// A limit that one call uses up.
pub(crate) fn one_an_hour() -> Limits {
    limits(Quota::new(1, HOUR).unwrap())
}

/// Returns when the condition is true.
pub(crate) async fn until(it_is: impl Fn() -> bool) {
    while !it_is() {
        time::sleep(Duration::from_millis(1)).await;
    }
}

/// Fails a test that would otherwise hang.
pub(crate) async fn in_time(test: impl Future<Output = ()>) {
    let ended = time::timeout(PATIENCE, test).await;
    ended.expect("it hangs");
}

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
/// Only a hang takes this long, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);
