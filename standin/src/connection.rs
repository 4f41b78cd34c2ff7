//! One connection, HTTP/1 or HTTP/2.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{http::Request, response::Response};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{net::TcpStream, select, sync::Notify};

use crate::{
    app::{OWN, api, router},
    fault::Fault,
    linger::Lingering,
    open::Open,
    shared::Shared,
};

/// Closes all of the server for a time.
pub(crate) type Outage = Arc<dyn Fn(Duration) + Send + Sync>;

/// Serves a connection until it ends.
pub(crate) async fn serve(stream: TcpStream, shared: Arc<Shared>, outage: Outage, _open: Open) {
    let leave = Arc::new(Notify::new());
    let service = service_fn(|request| {
        let (shared, outage) = (Arc::clone(&shared), Arc::clone(&outage));
        respond(request, shared, outage, Arc::clone(&leave))
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let stream = TokioIo::new(Lingering::new(stream));
    let mut connection = pin!(builder.serve_connection(stream, service));
    loop {
        select! {
            // A connection ends as its client likes; there is nobody to tell.
            _ = connection.as_mut() => return,
            () = leave.notified() => connection.as_mut().graceful_shutdown(),
        }
    }
}

/// Responds to a request. With an error hyper closes the connection, if it is of HTTP/1; of HTTP/2 it
/// resets the stream, with the error's reason.
async fn respond(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    outage: Outage,
    leave: Arc<Notify>,
) -> Result<Response, h2::Error> {
    if request.uri().path().starts_with(OWN) {
        let router = TowerToHyperService::new(router(shared));
        let Ok(response) = router.call(request).await;
        return Ok(response);
    }
    let fault = match api(&shared, request).await {
        Ok(response) => return Ok(response),
        Err(fault) => fault,
    };
    match fault {
        Fault::Reset | Fault::RefusedStream => {}
        Fault::GoAway => leave.notify_one(),
        Fault::Outage(duration) => outage(duration),
    }
    Err(fault.reason().into())
}
