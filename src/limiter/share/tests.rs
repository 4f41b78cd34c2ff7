//! Several processes over one ledger, in virtual time.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{Errand, Seam, Start, Terms, Unreached};
use crate::{
    limiter::Limiter,
    quota::shared::{Ledger, Stamp},
    words::{Call, Digest, Endpoint, Limits, Quota},
};

/// The ledger's server, and the network to it.
struct Server {
    start: Instant,
    ledgers: Mutex<HashMap<Digest, Ledger>>,
    /// The longest time of a call, in milliseconds.
    round_trip: u64,
    /// The times at which the server hangs, in milliseconds since the start.
    hangs: Vec<std::ops::Range<u64>>,
    calls: Mutex<u64>,
}

impl Server {
    fn new(round_trip: u64, hangs: Vec<std::ops::Range<u64>>) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            ledgers: Mutex::default(),
            round_trip,
            hangs,
            calls: Mutex::default(),
        })
    }

    async fn call(&self, errand: &Errand) -> Result<crate::quota::shared::Reply, Unreached> {
        *self.calls.lock().unwrap() += 1;
        let delay = || {
            sleep(Duration::from_micros(fastrand::u64(
                ..=self.round_trip * 500,
            )))
        };
        delay().await;
        let since = || self.start.elapsed().as_millis() as u64;
        if let Some(hang) = self.hangs.iter().find(|hang| hang.contains(&since())) {
            sleep_until(self.start + Duration::from_millis(hang.end)).await;
        }
        let reply = {
            let mut ledgers = self.ledgers.lock().unwrap();
            let ledger = ledgers.entry(errand.digest).or_default();
            // Some time in 2026.
            let now = 1_795_000_000_000_000 + self.start.elapsed().as_micros() as u64;
            ledger.decide(&errand.ask, Stamp(now))
        };
        delay().await;
        Ok(reply)
    }

    /// One process that shares its limits through this server.
    fn process(self: &Arc<Self>, limits: Limits, least_processes: u64) -> Limiter {
        let server = Arc::clone(self);
        let start: Start = Arc::new(move |seam| Box::pin(carry(seam, Arc::clone(&server))));
        let terms = Terms {
            least_processes,
            memory: Duration::from_secs(5),
            closed: false,
        };
        Limiter::new(limits).share(terms, start)
    }
}

async fn carry(seam: Seam, server: Arc<Server>) {
    while let Some(errand) = poll_fn(|cx| seam.poll_errand(cx)).await {
        let (seam, server) = (seam.clone(), Arc::clone(&server));
        tokio::spawn(async move {
            let timeout = Duration::from_millis(1_200);
            let reply = tokio::time::timeout(timeout, server.call(&errand)).await;
            seam.done(&errand, reply.unwrap_or(Err(Unreached::Silent)));
        });
    }
}

#[derive(Debug)]
struct Result_ {
    used: f64,
    over: i64,
    shares: (f64, f64),
    calls: f64,
}

/// Runs `n` processes that always have requests.
async fn run(n: usize, max: u64, per: Duration, seconds: u64, server: Arc<Server>) -> Result_ {
    let limits = || {
        let quota = Quota::new(max, per).unwrap();
        Limits::none().requests(Endpoint::ChatCompletions, quota)
    };
    let departures = Arc::new(Mutex::new(Vec::new()));
    let end = server.start + Duration::from_secs(seconds);
    let mut tasks = JoinSet::new();
    for process in 0..n {
        let limiter = server.process(limits(), n as u64);
        for _ in 0..8 {
            let (limiter, departures) = (limiter.clone(), Arc::clone(&departures));
            tasks.spawn(async move {
                while Instant::now() < end {
                    let call = Call::new(Endpoint::ChatCompletions);
                    drop(limiter.acquire(call).await.unwrap());
                    departures.lock().unwrap().push((Instant::now(), process));
                }
            });
        }
    }
    sleep_until(end).await;
    drop(tasks);
    let departures = departures.lock().unwrap();
    let mut over = i64::MIN;
    let mut first = 0;
    for (index, (at, _)) in departures.iter().enumerate() {
        while *at - departures[first].0 >= per {
            first += 1;
        }
        over = over.max((index - first + 1) as i64 - max as i64);
    }
    let mut each = vec![0.0; n];
    for (_, process) in departures.iter() {
        each[*process] += 1.0;
    }
    let mean = departures.len() as f64 / n as f64;
    let calls = *server.calls.lock().unwrap();
    Result_ {
        used: departures.len() as f64 * per.as_secs_f64() / (max as f64 * seconds as f64),
        over,
        shares: (
            each.iter().copied().fold(f64::INFINITY, f64::min) / mean,
            each.iter().copied().fold(0.0, f64::max) / mean,
        ),
        calls: calls as f64 / seconds as f64 / n as f64,
    }
}

#[tokio::test(start_paused = true)]
async fn table() {
    for (max, per) in [(100, 1), (600, 6), (600, 60), (6_000, 6)] {
        for n in [1, 2, 8, 32] {
            let per = Duration::from_secs(per);
            let result = run(n, max, per, 60, Server::new(2, Vec::new())).await;
            println!("{max} per {per:?}, {n}: {result:?}");
        }
    }
    for hang in [1, 3, 10] {
        let server = Server::new(2, vec![20_000..20_000 + hang * 1_000]);
        let result = run(8, 600, Duration::from_secs(6), 60, server).await;
        println!("hang {hang}: {result:?}");
    }
}
