//! Workers that always have another request, a network, and a server at its other end.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower_together::{Endpoint, Limiter, Limits, Quota, limiter::Call};

use crate::{
    counter::{Counter, Kind},
    virtual_time::{now, virtual_time},
};

/// What became of one run's requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    accepted: u32,
    refused: u32,
}

struct World {
    counter: Counter,
    start: Instant,
    outcome: Outcome,
}

/// Half an hour of 64 workers against one server.
///
/// They could send 27 a second, and nothing retries: what the server refuses is lost.
pub(crate) fn send(kind: Kind, quota: Quota, seed: u64) -> Outcome {
    let mut random = fastrand::Rng::with_seed(seed);
    virtual_time().block_on(async {
        let limiter = Limiter::new(Limits::none().requests(CHAT, quota));
        let world = Arc::new(Mutex::new(World {
            counter: Counter::new(kind, PER_SECOND, &mut random),
            start: now(),
            outcome: Outcome::default(),
        }));
        let mut workers = JoinSet::new();
        for _ in 0..64 {
            workers.spawn(work(limiter.clone(), Arc::clone(&world), random.fork()));
        }
        let stopped = timeout(HALF_AN_HOUR, workers.join_next()).await;
        assert!(stopped.is_err(), "a worker stopped: {stopped:?}");
        world.lock().unwrap().outcome
    })
}

/// How much of a quota leaves in 20 windows in which work always waits, in percent.
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

impl Outcome {
    /// How much of the quota the server gave, in percent.
    pub(crate) fn used(self) -> f64 {
        100.0 * f64::from(self.accepted) / (PER_SECOND * HALF_AN_HOUR.as_secs_f64())
    }

    /// How many of those sent were answered 429, in percent.
    pub(crate) fn refused(self) -> f64 {
        100.0 * f64::from(self.refused) / f64::from(self.accepted + self.refused)
    }
}

impl World {
    fn arrival(&mut self) -> bool {
        let now = now() - self.start;
        self.counter.pass(now, PER_SECOND);
        let accepted = self.counter.wait(now, PER_SECOND).is_zero();
        if accepted {
            self.counter.take(now);
            self.outcome.accepted += 1;
        } else {
            self.outcome.refused += 1;
        }
        accepted
    }
}

async fn work(limiter: Limiter, world: Arc<Mutex<World>>, mut random: fastrand::Rng) {
    let mut between = |from: u64, to: u64| Duration::from_micros(random.u64(from..=to));
    loop {
        let permit = limiter.acquire(Call::new(CHAT)).await.unwrap();
        sleep(between(5_000, 150_000)).await;
        let accepted = world.lock().unwrap().arrival();
        let thinks = if accepted {
            between(500_000, 3_500_000)
        } else {
            Duration::from_millis(5)
        };
        sleep(thinks + between(5_000, 150_000)).await;
        drop(permit);
    }
}

/// 600 a minute.
const PER_SECOND: f64 = 10.0;
const CHAT: Endpoint = Endpoint::ChatCompletions;
const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);
