//! Callers that always have another request, and the handling of their 429s.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Empty;
use simulation::{
    counter::Kind,
    network::Network,
    server::Says,
    setting::{Setting, steady},
    tally::Tally,
};
use testing::virtual_time;
use tokio::{task::JoinSet, time::sleep};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{Endpoint, Limiter, Limits, Quota, TogetherLayer, limiter::Call};

/// The number of callers, and the code that handles their 429s.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Callers {
    /// Both layers.
    Layers(usize),
    /// Each caller for itself: it sleeps as long as its response says, and asks the limiter again, which gets no report
    /// of the 429.
    Themselves(usize),
}

/// Lets the callers send to one server for ten minutes.
pub(crate) fn send(callers: Callers, kind: Kind, says: bool, seed: u64) -> Tally {
    let says = if says { Says::Wait } else { Says::Nothing };
    let setting = Setting {
        errors: &[],
        ..steady(callers, kind, says)
    };
    // The retry layer draws its jitter from the thread's generator, and the whole run is on one thread.
    fastrand::seed(seed);
    virtual_time().block_on(async {
        let network = Network::new(&setting, fastrand::Rng::with_seed(seed));
        let mut workers = JoinSet::new();
        match callers {
            Callers::Layers(callers) => {
                let network = network.clone();
                let client = service_fn(move |_| {
                    let network = network.clone();
                    async move { Ok::<_, Infallible>(network.send(0, 0).await) }
                });
                let service = TogetherLayer::from(limiter()).layer(client);
                for _ in 0..callers {
                    workers.spawn(call(service.clone()));
                }
            }
            Callers::Themselves(callers) => {
                let limiter = limiter();
                for _ in 0..callers {
                    workers.spawn(for_itself(limiter.clone(), network.clone()));
                }
            }
        }
        network.let_work(workers).await.remove(0)
    })
}

async fn call<S, B>(mut service: S)
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible>,
{
    loop {
        let Ok(service) = service.ready().await;
        let Ok(response) = service.call(chat()).await;
        assert!(response.status().is_success(), "{}", response.status());
    }
}

async fn for_itself(limiter: Limiter, network: Network) {
    loop {
        let call = Call::new(Endpoint::ChatCompletions);
        let permit = limiter.acquire(call).await.unwrap();
        let response = network.send(0, 0).await;
        drop(permit);
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            let seconds = response.headers()[RETRY_AFTER].to_str().unwrap();
            sleep(Duration::from_secs(seconds.parse().unwrap())).await;
        }
    }
}

/// A limiter without learning, because the pause is tested.
fn limiter() -> Limiter {
    let believed = Quota::per_minute(750).unwrap();
    let limits = Limits::none().requests(Endpoint::ChatCompletions, believed);
    Limiter::new(limits).adaptive(false)
}

fn chat() -> Request<Empty<Bytes>> {
    let request = Request::post("https://api.together.ai/v1/chat/completions");
    request.body(Empty::new()).unwrap()
}
