//! Ten minutes of work at a server that never accepts one request in a hundred.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use simulation::setting::STEADY;
use testing::virtual_time;
use tokio::{task::JoinSet, time::timeout};
use tower::{Layer, ServiceExt, service_fn};
use tower_together::TogetherLayer;

use crate::server::{Fate, Server};

/// Whether the server never accepts the request.
#[derive(Clone, Copy)]
struct Poison(bool);

/// The share of the quota that is used, in percent. A 429 asks to wait for so many seconds, or says nothing of a wait.
pub(crate) fn used(wait: Option<u64>, seed: u64) -> f64 {
    fastrand::seed(seed);
    virtual_time().block_on(async {
        let server = Server::new(STEADY, seed);
        let beneath = server.clone();
        let send = service_fn(move |request: Request<Empty<Bytes>>| {
            let server = beneath.clone();
            let Poison(poison) = *request.extensions().get().unwrap();
            let fate = match poison {
                true => Fate::Rejected(wait.map(|wait| 1_000 * wait)),
                false => Fate::Accepted,
            };
            async move { server.send(|_| fate).await }
        });
        let service = TogetherLayer::default().layer(send);
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            let service = service.clone();
            workers.spawn(async move {
                loop {
                    let _ = service.clone().oneshot(request()).await;
                }
            });
        }
        let _ = timeout(TIME, workers.join_next()).await;
        100.0 * f64::from(server.accepted()) / (10.0 * TIME.as_secs_f64())
    })
}

fn request() -> Request<Empty<Bytes>> {
    Request::post("https://api.together.ai/v1/chat/completions")
        .extension(Poison(fastrand::u32(..100) == 0))
        .body(Empty::new())
        .unwrap()
}

const WORKERS: usize = 64;
const TIME: Duration = Duration::from_secs(600);
