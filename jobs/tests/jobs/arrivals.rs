//! The requests that have arrived at a server, and waiting for them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use together_standin::StandIn;
use tokio::{
    select,
    time::{sleep, timeout},
};
use tower::{BoxError, Service, service_fn};

/// Waits for something that must come true.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A client that gives up each create at `path` once the server has `all` of them: as a timeout
/// would, but never before the request has arrived.
pub(crate) fn giving_up(
    server: &Arc<StandIn>,
    path: &'static str,
    all: u64,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<impl Body<Data = Bytes, Error: Into<BoxError>>>,
    Error = BoxError,
    Future: Send,
> + Clone {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let server = Arc::clone(server);
    service_fn(move |request: Request<Full<Bytes>>| {
        let is_create = *request.method() == Method::POST && request.uri().path().ends_with(path);
        let (response, server) = (client.request(request), Arc::clone(&server));
        let arrived = move || creates_at(&server, path) >= all;
        async move {
            select! {
                response = response => response.map_err(Into::into),
                () = until("it has arrived", arrived), if is_create => Err("given up".into()),
            }
        }
    })
}

/// How many creates have arrived.
pub(crate) fn creates_at(server: &StandIn, path: &str) -> u64 {
    let others = server.stats().others;
    let counts = others.get(&format!("POST {path}"));
    counts.map_or(0, |counts| counts.arrived)
}

/// Only a hang takes this long, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
