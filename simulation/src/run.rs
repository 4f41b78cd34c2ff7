//! Clients that always have another request, with servers whose limits they have to discover.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use testing::virtual_time;
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{Endpoint, Limits, Quota, TogetherLayer, extension::Model};

use crate::{network::Network, plain::Bucket, setting::Setting, tally::Tally};

#[derive(Clone, Copy, Debug)]
pub enum Client {
    /// Both layers with their defaults: they start at 600 a minute.
    Default,
    /// Both layers with their defaults, for an endpoint at which they start at 300 a minute.
    DefaultFromHalf,
    /// Both layers, with at most this many requests a minute for each model.
    AtMost(u64),
    /// A token bucket of 600 that refills 600 a minute, and callers that each sleep as long as the server says.
    Plain,
}

/// The outcome of a run.
pub struct Run {
    /// A tally for each model.
    pub tallies: Vec<Tally>,
    /// Calls that did not end in success.
    pub lost: u32,
}

impl Setting<Client> {
    pub fn run(&self, seed: u64) -> Run {
        // The retry layer draws its jitter from the thread's generator, and the whole run is on one thread.
        fastrand::seed(seed);
        virtual_time().block_on(async {
            let network = Network::new(self, fastrand::Rng::with_seed(seed));
            let lost = Arc::new(AtomicU32::new(0));
            let mut workers = JoinSet::new();
            for (client, kind) in self.clients.iter().enumerate() {
                self.start(client, *kind, &network, &lost, &mut workers);
            }
            Run {
                tallies: network.let_work(workers).await,
                lost: lost.load(Ordering::Relaxed),
            }
        })
    }

    fn start(
        &self,
        client: usize,
        kind: Client,
        network: &Network,
        lost: &Arc<AtomicU32>,
        workers: &mut JoinSet<()>,
    ) {
        let models = self.servers.len();
        let Some(limits) = kind.limits(models) else {
            let plain = Bucket::per_minute(600);
            for _ in 0..WORKERS {
                workers.spawn(plain.clone().work(network.clone(), client));
            }
            return;
        };
        let network = network.clone();
        let server = service_fn(move |request: Request<Empty<Bytes>>| {
            let network = network.clone();
            let Ask(model) = *request.extensions().get().unwrap();
            async move { Ok::<_, Infallible>(network.send(client, model).await) }
        });
        let service = TogetherLayer::new(limits).layer(server);
        for model in 0..models {
            let ask = move || request(kind, model);
            for _ in 0..WORKERS {
                workers.spawn(work(service.clone(), ask, Arc::clone(lost)));
            }
        }
    }
}

async fn work<S, B>(
    mut service: S,
    request: impl Fn() -> Request<Empty<Bytes>>,
    lost: Arc<AtomicU32>,
) where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible>,
{
    loop {
        let Ok(service) = service.ready().await;
        let Ok(response) = service.call(request()).await;
        if !response.status().is_success() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The model of a request.
#[derive(Clone, Copy)]
struct Ask(usize);

fn request(client: Client, model: usize) -> Request<Empty<Bytes>> {
    let path = match client {
        Client::DefaultFromHalf => "embeddings",
        _ => "chat/completions",
    };
    Request::post(format!("https://api.together.ai/v1/{path}"))
        .extension(Model::new(MODELS[model]))
        .extension(Ask(model))
        .body(Empty::new())
        .unwrap()
}

impl Client {
    fn limits(self, models: usize) -> Option<Limits> {
        match self {
            Self::Plain => None,
            Self::Default | Self::DefaultFromHalf => Some(Limits::default()),
            Self::AtMost(max) => {
                let max = Quota::per_minute(max).unwrap();
                let own = Limits::none().requests(Endpoint::ChatCompletions, max);
                let models = MODELS[..models].iter();
                Some(models.fold(Limits::none(), |all, model| {
                    all.for_model(model, own.clone())
                }))
            }
        }
    }
}

/// Workers of one client, which could send 60 requests a second.
const WORKERS: usize = 128;
const MODELS: [&str; 2] = ["one", "another"];
