//! Every stack there is: a file each, or one for those that differ in a line.

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
use crate::{answer::Answer, ask::Ask, layers::Layers, upstream::Upstream};

/// A client, or a server, with the layers in it and the upstream behind them.
pub(crate) trait Stack: Sized {
    /// Whose extensions whoever calls is shown.
    const SHOWS: Shows;

    async fn start(upstream: Upstream, layers: Layers) -> Self;

    /// Sends one request. Dropped, it is taken back.
    fn send(&self, ask: Ask) -> BoxFuture<'static, Answer>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// Every answer's.
    All,
    /// Of gRPC's answers those that are no error, for a `tonic::Status` has none.
    Successes,
    /// Of what is parsed for its caller, none.
    None,
}
