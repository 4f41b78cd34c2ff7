//! A bare hyper server that limits its own callers. The layer wraps a service of `Request<Incoming>` (feature `hyper`),
//! and `TowerToHyperService` wraps the layer. The stack is made before the first connection, and cloned: a separate
//! limiter for each connection would limit nothing.

use std::{convert::Infallible, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tower::{Layer, service_fn};
use tower_together::{Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer};
use tower_together_stacks::{ExampleError, report};

async fn hello(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
    Ok(Response::new("hello".to_owned()))
}

#[tokio::main]
async fn main() -> Result<(), ExampleError> {
    // The stack: one a minute for each key, and no request waits.
    let limits = Limits::none().requests(Endpoint::Other, Quota::per_minute(1)?);
    let limiter = Limiter::new(limits).with_max_wait(Duration::ZERO);
    let service = TogetherRateLimitLayer::from(limiter).layer(service_fn(hello));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let io = TokioIo::new(stream);
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(http1::Builder::new().serve_connection(io, service));
        }
    });
    for key in ["alice", "alice", "bob"] {
        let request = reqwest::Client::new().get(&url).bearer_auth(key);
        report(request.send().await?.status(), &http::Extensions::new())?;
    }
    Ok(())
}
