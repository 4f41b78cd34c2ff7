//! Workers that always have another request, and their share of a quota.

use simulation::{
    counter::Kind,
    network::Network,
    server::Says,
    setting::{Setting, steady},
    tally::Tally,
};
use testing::virtual_time;
use tokio::{task::JoinSet, time::timeout};
use tower_together::{Endpoint, Limiter, Limits, Quota, limiter::Call};

/// Lets 64 workers send to one server for half an hour.
///
/// They could send 27 a second. There are no retries: a rejected request is lost.
pub(crate) fn send(kind: Kind, quota: Quota, seed: u64) -> Tally {
    let setting = Setting {
        errors: &[],
        delay: FAR,
        seconds: 30 * 60,
        ..steady((), kind, Says::Nothing)
    };
    virtual_time().block_on(async {
        let limiter = Limiter::new(Limits::none().requests(CHAT, quota));
        let network = Network::new(&setting, fastrand::Rng::with_seed(seed));
        let mut workers = JoinSet::new();
        for _ in 0..64 {
            workers.spawn(work(limiter.clone(), network.fork()));
        }
        network.let_work(workers).await.remove(0)
    })
}

/// The share of a quota that leaves in 20 windows in which work always waits, in percent.
pub(crate) fn saturate(quota: Quota) -> f64 {
    virtual_time().block_on(async {
        let limiter = Limiter::new(Limits::none().requests(CHAT, quota));
        let mut workers = JoinSet::new();
        for _ in 0..4 {
            let limiter = limiter.clone();
            workers.spawn(async move {
                loop {
                    drop(limiter.acquire(Call::new(CHAT)).await.unwrap());
                }
            });
        }
        let stopped = timeout(quota.per() * 20, workers.join_next()).await;
        assert!(stopped.is_err(), "a worker stopped: {stopped:?}");
        100.0 * limiter.snapshot().admitted as f64 / (quota.max() * 20) as f64
    })
}

async fn work(limiter: Limiter, network: Network) {
    loop {
        let permit = limiter.acquire(Call::new(CHAT)).await.unwrap();
        network.send(0, 0).await;
        drop(permit);
    }
}

const CHAT: Endpoint = Endpoint::ChatCompletions;
/// One-way delays, in milliseconds.
const FAR: (u64, u64) = (5, 150);
