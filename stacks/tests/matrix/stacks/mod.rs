//! All stacks: a file each, or one file for those that differ in a line.

mod async_openai;
mod axum;
mod hyper;
mod hyper_server;
mod reqwest;
mod reqwest_middleware;
mod serve;
mod tonic;
mod tonic_server;

use futures::future::BoxFuture;

pub(crate) use self::{
    async_openai::AsyncOpenAi,
    axum::{AxumIn, AxumOut},
    hyper::{Http1, Http2},
    hyper_server::HyperServer,
    reqwest::{HttpOverReqwest, Reqwest},
    reqwest_middleware::{Middleware, TwoMiddlewares},
    tonic::{Tonic, TonicProxied},
    tonic_server::TonicServer,
};
use crate::{ask::Ask, layers::Layers, response::AnyResponse, upstream::Upstream};

/// A client, or a server, with the layers in it and the upstream behind them.
pub(crate) trait Stack: Sized {
    /// The responses whose extensions the caller sees.
    const SHOWS: Shows;

    async fn start(upstream: Upstream, layers: Layers) -> Self;

    /// Sends one request. Dropping the future cancels it.
    fn send(&self, ask: Ask) -> BoxFuture<'static, AnyResponse>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// Every response.
    All,
    /// gRPC's successes, because a `tonic::Status` has no extensions.
    Successes,
    /// None, because responses are parsed for the caller.
    None,
}
