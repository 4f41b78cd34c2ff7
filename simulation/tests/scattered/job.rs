//! A job of 320 requests at 300 a minute, of which the server fails one in ten and in twenty.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header::RETRY_AFTER};
use http_body_util::Empty;
use simulation::limit::Moves;
use testing::{now, virtual_time};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, sleep_until},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{Endpoint, Limits, Quota, TogetherLayer};

use crate::server::{Fate, Server};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    /// Both layers, which start at 300 a minute.
    Default,
    /// Both layers, with 300 a minute written.
    Written,
    /// Sends a request each 200 ms, and each again after the wait that its response names, or after a second.
    Script,
}

pub(crate) struct Done {
    pub(crate) seconds: f64,
    pub(crate) failed: usize,
}

pub(crate) fn run(client: Client, seed: u64) -> Done {
    fastrand::seed(seed);
    virtual_time().block_on(async {
        let start = now();
        let server = Server::new(Moves::Plan(&[(0, 300.0)]), seed);
        let chaos = Chaos::default();
        let mut calls = JoinSet::new();
        match client {
            Client::Default | Client::Written => {
                let limits = match client {
                    Client::Written => Limits::none().requests(Endpoint::Embeddings, per_minute()),
                    _ => Limits::default(),
                };
                let service = TogetherLayer::new(limits).layer(service_fn(move |_: Request<_>| {
                    let server = server.clone();
                    let chaos = chaos.clone();
                    async move { server.send(|random| chaos.fate(random)).await }
                }));
                let workers = Arc::new(Semaphore::new(WORKERS));
                for _ in 0..REQUESTS {
                    let (service, workers) = (service.clone(), Arc::clone(&workers));
                    calls.spawn(async move {
                        let _permit = workers.acquire().await.unwrap();
                        let response = service.oneshot(request()).await;
                        response.is_ok_and(|response| response.status().is_success())
                    });
                }
            }
            Client::Script => {
                for nth in 0..REQUESTS {
                    let (server, chaos) = (server.clone(), chaos.clone());
                    let at = start + APART * nth;
                    calls.spawn(async move {
                        sleep_until(at).await;
                        script(&server, &chaos).await;
                        true
                    });
                }
            }
        }
        let succeeded = calls.join_all().await;
        Done {
            seconds: start.elapsed().as_secs_f64(),
            failed: succeeded.into_iter().filter(|succeeded| !succeeded).count(),
        }
    })
}

async fn script(server: &Server, chaos: &Chaos) {
    loop {
        let response = server.send(|random| chaos.fate(random)).await;
        let mut wait = Duration::from_secs(1);
        if let Ok(response) = response {
            if response.status() == StatusCode::OK {
                return;
            }
            if let Some(named) = response.headers().get(RETRY_AFTER) {
                wait = Duration::from_secs_f64(named.to_str().unwrap().parse().unwrap());
            }
        }
        sleep(wait).await;
    }
}

/// The server's failures: one in each ten requests of the first 240, then one in twenty. In each 24 failures are nine
/// 429s, as from the stand-in.
#[derive(Clone, Default)]
struct Chaos(Arc<Mutex<Failures>>);

#[derive(Default)]
struct Failures {
    requests: u32,
    /// The place of the failure among the next requests.
    place: u32,
    kinds: Vec<u32>,
}

impl Chaos {
    fn fate(&self, random: &mut fastrand::Rng) -> Fate {
        let of = &mut *self.0.lock().unwrap();
        let block = if of.requests < 240 { 10 } else { 20 };
        let nth = of.requests % block;
        if nth == 0 {
            of.place = random.u32(1..block);
        }
        of.requests += 1;
        if nth != of.place {
            return Fate::Accepted;
        }
        if of.kinds.is_empty() {
            of.kinds = (0..24).collect();
            random.shuffle(&mut of.kinds);
        }
        match of.kinds.pop().unwrap() {
            kind @ 0..8 => Fate::Rejected(Some(
                [300, 500, 1_000, 1_000, 1_000, 2_000, 2_000, 2_000][kind as usize],
            )),
            8 => Fate::Rejected(None),
            kind @ 9..20 => {
                Fate::Fails([408, 500, 502, 503, 504, 520, 524, 529][kind as usize % 8])
            }
            _ => Fate::Reset,
        }
    }
}

fn request() -> Request<Empty<Bytes>> {
    Request::post("https://api.together.ai/v1/embeddings")
        .body(Empty::new())
        .unwrap()
}

fn per_minute() -> Quota {
    Quota::per_minute(300).unwrap()
}

const REQUESTS: u32 = 320;
const WORKERS: usize = 32;
const APART: Duration = Duration::from_millis(200);
