//! Clients that are neither `Send` nor `'static` work on one thread.

use std::{
    cell::Cell,
    convert::Infallible,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::task::{LocalSet, spawn_local, yield_now};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::TogetherLayer;

fn chat() -> Request<&'static str> {
    Request::post("/v1/chat/completions").body("").unwrap()
}

/// A client of one thread, which counts its calls.
#[derive(Clone, Default)]
struct Local(Rc<Cell<u32>>);

impl Service<Request<&'static str>> for Local {
    type Response = Response<Full<Bytes>>;
    // An error type that is neither `Send` nor an `Error`.
    type Error = Rc<()>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Rc<()>>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rc<()>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<&'static str>) -> Self::Future {
        let calls = Rc::clone(&self.0);
        Box::pin(async move {
            calls.set(calls.get() + 1);
            yield_now().await;
            match calls.get() {
                1 => Err(Rc::new(())),
                _ => Ok(Response::new(Full::default())),
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_of_one_thread_alone_is_limited_and_retried_on_it() {
    let local = Local::default();
    let stack = TogetherLayer::default().layer(local.clone());
    LocalSet::new()
        .run_until(async {
            let calls = [(); 3].map(|()| spawn_local(stack.clone().oneshot(chat())));
            for call in calls {
                call.await.unwrap().unwrap();
            }
        })
        .await;
    assert_eq!(local.0.get(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_borrows_is_limited_while_it_does() {
    let calls = Cell::new(0);
    let client = service_fn(|_: Request<&'static str>| {
        calls.set(calls.get() + 1);
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
    });
    let stack = TogetherLayer::default().layer(client);
    for _ in 0..2 {
        stack.clone().oneshot(chat()).await.unwrap();
    }
    assert_eq!(calls.get(), 2);
}
