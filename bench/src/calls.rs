//! The loop that is timed.

#![allow(clippy::disallowed_methods, reason = "a stopwatch reads the clock")]

use std::{
    fmt,
    hint::black_box,
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode};
use tokio::runtime::{Builder, Runtime};
use tower::{Service, ServiceExt};
use tower_together::{Limiter, limiter::Call};

use crate::requests::Requests;

/// Makes the given number of calls to a service, and returns how long they took.
pub(crate) type Calls = Box<dyn FnMut(&Runtime, u64) -> Duration + Send>;

/// A runtime of one thread.
pub fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a timer needs nothing of the system")
}

/// A runtime of one thread with I/O, for rows that send through sockets.
pub fn runtime_with_sockets() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a file handle can be had")
}

/// Waits until the service is ready and calls it, over and over.
pub(crate) fn ready_and_call<S, B, R>(service: &S, requests: &Requests<B>) -> Calls
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: fmt::Debug,
    B: Clone + Send + 'static,
{
    let (mut service, mut requests) = (service.clone(), requests.clone());
    Box::new(move |runtime, calls| {
        runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..calls {
                let request = requests.make();
                let ready = service.ready().await.expect("no service here fails");
                let response = ready.call(request).await.expect("no service here fails");
                assert_eq!(black_box(&response).status(), StatusCode::OK);
            }
            start.elapsed()
        })
    })
}

/// Clones the service for each call, as shared HTTP clients do.
pub(crate) fn clone_and_oneshot<S, B, R>(service: &S, requests: &Requests<B>) -> Calls
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: fmt::Debug,
    B: Clone + Send + 'static,
{
    let (service, mut requests) = (service.clone(), requests.clone());
    Box::new(move |runtime, calls| {
        runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..calls {
                let request = requests.make();
                let response = service.clone().oneshot(request);
                let response = response.await.expect("no service here fails");
                assert_eq!(black_box(&response).status(), StatusCode::OK);
            }
            start.elapsed()
        })
    })
}

/// Takes a permit and gives it back, without a request.
pub(crate) fn try_acquire(limiter: &Limiter, call: &Call) -> Calls {
    let (limiter, call) = (limiter.clone(), call.clone());
    Box::new(move |_, calls| {
        let start = Instant::now();
        for _ in 0..calls {
            let permit = limiter.try_acquire(&call);
            drop(black_box(permit).expect("no limit binds here"));
        }
        start.elapsed()
    })
}
