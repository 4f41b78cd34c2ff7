//! [tower-resilience's rate limiter](https://docs.rs/tower-resilience-ratelimiter), which waits for its window.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use tower::{Layer, Service, ServiceExt, service_fn, util::ServiceFn};
use tower_resilience_ratelimiter::{RateLimiter, RateLimiterLayer, WindowType};

use super::{Given, Turns};
use crate::wire::Call;

pub(super) struct TowerResilience(RateLimiter<Sends>);

/// Sends nothing: the attempt follows.
type Sends = ServiceFn<fn(()) -> Ready<Result<(), Infallible>>>;

pub(super) fn new(given: Given) -> TowerResilience {
    let layer = RateLimiterLayer::per_minute(given.requests as usize)
        .window_type(WindowType::SlidingLog)
        .timeout_duration(FOREVER)
        .build()
        .expect("a limit above 0");
    TowerResilience(layer.layer(service_fn(|()| ready(Ok(())))))
}

impl Turns for TowerResilience {
    fn turn(&self, _: Call) -> BoxFuture<'_, ()> {
        let mut service = self.0.clone();
        async move {
            let ready = service.ready().await.expect("it waits");
            ready.call(()).await.expect("it waits");
        }
        .boxed()
    }
}

/// Longer than any run: by default it waits for a second, and rejects.
const FOREVER: Duration = Duration::from_secs(24 * 3_600);
