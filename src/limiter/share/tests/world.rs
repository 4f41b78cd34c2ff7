//! A ledger's server with its faults, the network to it, and processes that share limits.

use std::{
    collections::HashMap,
    future::poll_fn,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    clock::now,
    limiter::{
        Limiter,
        share::{Errand, Seam, Terms, Unreached},
    },
    quota::shared::{Ledger, Reply, Stamp},
    words::{Call, Digest, Endpoint, Limits},
};

/// A fault of the server, by milliseconds since the start.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The server does not execute anything. Calls wait.
    Hangs(Range<u64>),
    /// Connections are refused.
    Refuses(Range<u64>),
    /// The server loses everything.
    Forgets(u64),
    /// Another server takes over. It lacks the last second, and its clock differs by so many milliseconds.
    FailsOver(u64, i64),
    /// A process is cut off.
    Cuts(usize, Range<u64>),
    /// A process dies.
    Kills(usize, u64),
}

pub(super) struct Server {
    start: Instant,
    state: Mutex<State>,
    /// The longest time of a call, in milliseconds.
    round_trip: u64,
    /// One call in so many takes up to a second longer.
    spike: u64,
    /// Millionths by which its clock is faster than those of the processes.
    drift: i64,
    faults: Vec<Fault>,
}

#[derive(Default)]
struct State {
    ledgers: HashMap<Digest, Ledger>,
    /// The ledgers of a second ago, for a failover.
    older: Vec<(u64, HashMap<Digest, Ledger>)>,
    done: usize,
    ahead: i64,
    calls: Vec<u64>,
}

impl Server {
    pub(super) fn new(round_trip: u64, spike: u64, faults: &[Fault]) -> Arc<Self> {
        Self::drifting(round_trip, spike, faults, 0)
    }

    pub(super) fn drifting(round_trip: u64, spike: u64, faults: &[Fault], drift: i64) -> Arc<Self> {
        Arc::new(Self {
            start: now(),
            state: Mutex::default(),
            round_trip,
            spike,
            drift,
            faults: faults.to_vec(),
        })
    }

    fn millis(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    fn way(&self) -> Duration {
        let mut micros = fastrand::u64(..=self.round_trip * 500);
        if self.spike > 0 && fastrand::u64(..self.spike) == 0 {
            micros += fastrand::u64(..=1_000_000);
        }
        Duration::from_micros(micros)
    }

    /// Makes the faults happen whose time has come.
    fn fail(&self, state: &mut State) {
        let now = self.millis();
        for fault in &self.faults[state.done..] {
            match fault {
                Fault::Forgets(at) if *at <= now => state.ledgers.clear(),
                Fault::FailsOver(at, ahead) if *at <= now => {
                    let older = state
                        .older
                        .iter()
                        .rev()
                        .find(|(then, _)| then + 1_000 <= *at);
                    state.ledgers = older
                        .map(|(_, ledgers)| ledgers.clone())
                        .unwrap_or_default();
                    state.ahead += ahead * 1_000;
                }
                Fault::Forgets(_) | Fault::FailsOver(..) => break,
                _ => {}
            }
            state.done += 1;
        }
        if state.older.last().is_none_or(|(then, _)| then + 100 <= now) {
            state.older.push((now, state.ledgers.clone()));
            if state.older.len() > 20 {
                state.older.remove(0);
            }
        }
    }

    async fn call(&self, process: usize, errand: &Errand) -> Result<Reply, Unreached> {
        self.state.lock().unwrap().calls.push(self.millis());
        sleep(self.way()).await;
        for fault in &self.faults {
            match fault {
                Fault::Refuses(time) if time.contains(&self.millis()) => {
                    return Err(Unreached::Failed("refused"));
                }
                Fault::Cuts(of, time) if *of == process && time.contains(&self.millis()) => {
                    sleep_until(self.start + Duration::from_millis(time.end)).await;
                    return Err(Unreached::Failed("cut"));
                }
                Fault::Hangs(time) if time.contains(&self.millis()) => {
                    sleep_until(self.start + Duration::from_millis(time.end)).await;
                }
                _ => {}
            }
        }
        let reply = {
            let mut state = self.state.lock().unwrap();
            self.fail(&mut state);
            // Some time in 2026.
            let elapsed = self.start.elapsed().as_micros() as i64;
            let elapsed = elapsed + elapsed * self.drift / 1_000_000;
            let now = 1_795_000_000_000_000 + elapsed + state.ahead;
            let ledger = state.ledgers.entry(errand.digest).or_default();
            ledger.decide(&errand.ask, Stamp(now as u64))
        };
        sleep(self.way()).await;
        Ok(reply)
    }

    /// A process that shares its limits through this server.
    pub(super) fn process(
        self: &Arc<Self>,
        number: usize,
        limits: Limits,
        terms: Terms,
    ) -> Limiter {
        let server = Arc::clone(self);
        Limiter::new(limits).share(terms, move |seam| carry(seam, number, Arc::clone(&server)))
    }

    pub(super) fn calls(&self, time: Range<u64>) -> usize {
        let state = self.state.lock().unwrap();
        state.calls.iter().filter(|at| time.contains(at)).count()
    }
}

pub(super) fn terms(least_processes: usize) -> Terms {
    Terms {
        least_processes: Some(least_processes as u64),
        memory: Duration::from_secs(5),
        closed: false,
    }
}

async fn carry(seam: Seam, process: usize, server: Arc<Server>) {
    let mut calls = JoinSet::new();
    loop {
        let errand = tokio::select! {
            errand = poll_fn(|cx| seam.poll_errand(cx)) => errand,
            Some(_) = calls.join_next() => continue,
            () = sleep(Duration::from_millis(300)) => {
                for errand in seam.goodbyes() {
                    let (seam, server) = (seam.clone(), Arc::clone(&server));
                    calls.spawn(async move {
                        let reply = server.call(process, &errand).await;
                        seam.done(&errand, reply);
                    });
                }
                continue;
            }
        };
        let Some(errand) = errand else { return };
        let (seam, server) = (seam.clone(), Arc::clone(&server));
        calls.spawn(async move {
            let reply = timeout(Duration::from_millis(1_200), server.call(process, &errand)).await;
            seam.done(&errand, reply.unwrap_or(Err(Unreached::Silent)));
        });
    }
}

/// The departures of a run: the instant, the process and the endpoint of each.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<(Instant, usize, Endpoint)>>>);

impl Log {
    pub(super) fn add(&self, process: usize, endpoint: Endpoint) {
        self.0.lock().unwrap().push((now(), process, endpoint));
    }

    /// The most departures beyond `max` in any window of `per`.
    pub(super) fn over(&self, max: u64, per: Duration) -> i64 {
        let log = self.0.lock().unwrap();
        let (mut over, mut first) = (-(max as i64), 0);
        for (index, (at, ..)) in log.iter().enumerate() {
            while *at - log[first].0 >= per {
                first += 1;
            }
            over = over.max((index - first + 1) as i64 - max as i64);
        }
        over
    }

    pub(super) fn count(&self, counts: impl Fn(usize, Endpoint) -> bool) -> f64 {
        let log = self.0.lock().unwrap();
        log.iter()
            .filter(|(_, process, endpoint)| counts(*process, *endpoint))
            .count() as f64
    }

    /// The least and the most departures of a process, as parts of the mean.
    pub(super) fn shares(&self, processes: usize) -> (f64, f64) {
        let each: Vec<_> = (0..processes)
            .map(|of| self.count(|process, _| process == of))
            .collect();
        let mean = each.iter().sum::<f64>() / processes as f64;
        (
            each.iter().copied().fold(f64::INFINITY, f64::min) / mean,
            each.iter().copied().fold(0.0, f64::max) / mean,
        )
    }
}

/// Runs processes that always have requests, each as many as `each` at a time.
pub(super) async fn busy(
    server: &Arc<Server>,
    processes: usize,
    limits: impl Fn(usize) -> Limits,
    endpoint: impl Fn(usize) -> Endpoint,
    seconds: u64,
) -> Log {
    let log = Log::default();
    let end = server.start + Duration::from_secs(seconds);
    let mut tasks = JoinSet::new();
    for process in 0..processes {
        let limiter = server.process(process, limits(process), terms(processes));
        let endpoint = endpoint(process);
        let kill = server.faults.iter().find_map(|fault| match fault {
            Fault::Kills(of, at) if *of == process => Some(Duration::from_millis(*at)),
            _ => None,
        });
        let end = kill.map_or(end, |at| server.start + at);
        for _ in 0..8 {
            let (limiter, log) = (limiter.clone(), log.clone());
            tasks.spawn(async move {
                let work = async {
                    loop {
                        drop(limiter.acquire(Call::new(endpoint)).await.unwrap());
                        log.add(process, endpoint);
                    }
                };
                let _ = tokio::time::timeout_at(end, work).await;
            });
        }
    }
    while tasks.join_next().await.is_some() {}
    log
}
