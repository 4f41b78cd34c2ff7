//! This crate's layers.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body_util::Full;
use tower::{BoxError, Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_together::{Endpoint, Limits, Quota, TogetherLayer};

use super::{Client, Given};
use crate::wire::{Call, Wire};

struct Together(BoxCloneSyncService<Request<Full<Bytes>>, bool, BoxError>);

pub(super) fn by_default(wire: Wire, _: Given) -> Box<dyn Client> {
    over(wire, Limits::default())
}

pub(super) fn written(wire: Wire, given: Given) -> Box<dyn Client> {
    over(wire, limits(given, per_minute(given.requests)))
}

/// Without the default limits: one that chat shares with other endpoints is paced.
pub(super) fn unpaced(wire: Wire, given: Given) -> Box<dyn Client> {
    let quota = per_minute(given.requests).unpaced();
    over(wire, Limits::none().requests(CHAT, quota))
}

/// The limit per second, as the server counts, and all of it at once. With a margin, departures would drift through the
/// server's seconds.
pub(super) fn unpaced_seconds(wire: Wire, given: Given) -> Box<dyn Client> {
    let quota = Quota::per_second((given.requests / 60).into());
    let quota = quota.and_then(|quota| quota.with_margin(Duration::ZERO));
    let quota = quota.expect("a limit above 0").unpaced();
    over(wire, Limits::none().requests(CHAT, quota))
}

pub(super) fn a_quarter(wire: Wire, given: Given) -> Box<dyn Client> {
    let limits = limits(given, per_minute(given.requests)).scaled(1, 4);
    over(wire, limits.expect("a part"))
}

fn limits(given: Given, requests: Quota) -> Limits {
    let limits = Limits::default().requests(CHAT, requests);
    match given.tokens {
        Some(tokens) => limits.tokens(CHAT, per_minute(tokens.per_minute)),
        None => limits,
    }
}

fn per_minute(max: u32) -> Quota {
    Quota::per_minute(max.into()).expect("a limit above 0")
}

fn over(wire: Wire, limits: Limits) -> Box<dyn Client> {
    let inner = service_fn(move |request: Request<Full<Bytes>>| {
        let (wire, call) = (wire.clone(), request.extensions().get::<Call>().copied());
        async move { Ok::<_, BoxError>(wire.send(call.expect("as it was sent")).await?) }
    });
    let succeeded = |response: Response<_>| response.status().is_success();
    let service = TogetherLayer::new(limits).layer(inner);
    Box::new(Together(BoxCloneSyncService::new(
        service.map_response(succeeded),
    )))
}

impl Client for Together {
    fn call(&self, call: Call) -> BoxFuture<'_, bool> {
        let service = self.0.clone();
        async move { service.oneshot(call.request()).await.unwrap_or(false) }.boxed()
    }
}

const CHAT: Endpoint = Endpoint::ChatCompletions;
