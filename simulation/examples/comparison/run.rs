//! One run: a client, a server and a seed, in virtual time.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use simulation::{network::Network, server::Tokens};
use testing::{now, virtual_time};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    clients::{Client, Setup},
    figures::{Ended, Figures},
    ideal,
    servers::{Server, Work, arrival},
    wire::{Call, Wire},
};

/// The calls of a run, and the outcomes of those that have ended.
struct Job {
    start: Instant,
    calls: Vec<Call>,
    ended: Mutex<Vec<Option<Ended>>>,
}

/// Lets the client do the server's work.
pub(crate) fn run(server: &Server, client: &Setup, seed: u64) -> Figures {
    // Clients draw their jitter from the thread's generator, and the whole run is on one thread.
    fastrand::seed(seed);
    let tokens = tokens(server, seed);
    let ideal = ideal::times(server, &tokens, seed);
    virtual_time().block_on(async {
        let setting = server.setting();
        let network = Network::new(&setting, fastrand::Rng::with_seed(seed));
        let job = Arc::new(Job::new(tokens));
        let mut workers = JoinSet::new();
        for process in 0..server.processes {
            let wire = Wire::new(network.clone(), process, job.calls.len());
            let client = (client.new)(wire.clone(), server.given);
            job.start(process, server, Arc::from(client), &wire, &mut workers);
        }
        let tally = network.let_finish(workers).await.remove(0);
        // A call that has not ended ends with the run, without success.
        let last = Ended {
            at: job.start.elapsed(),
            wait: None,
        };
        let ended = job.ended.lock().unwrap();
        let ended: Vec<_> = ended.iter().map(|ended| ended.unwrap_or(last)).collect();
        Figures::of(server, &tally, &ended, &ideal)
    })
}

/// The tokens of each call: the prompt is even, the response has a heavy tail.
fn tokens(server: &Server, seed: u64) -> Vec<Tokens> {
    let mut random = fastrand::Rng::with_seed(!seed);
    let call = |_| match server.given.tokens {
        None => Tokens::default(),
        Some(limit) => {
            // Pareto with an index of 1.5, from 40 tokens to `max_tokens`: the mean is about 100.
            let output = 40.0 * (1.0 - random.f64()).powf(-1.0 / 1.5);
            Tokens {
                prompt: random.u32(20..=100),
                output: output.min(limit.most.into()) as u32,
            }
        }
    };
    (0..server.work.calls()).map(call).collect()
}

impl Job {
    fn new(tokens: Vec<Tokens>) -> Self {
        let calls = tokens.into_iter().enumerate();
        let calls: Vec<_> = calls
            .map(|(number, tokens)| Call { number, tokens })
            .collect();
        Self {
            start: now(),
            ended: Mutex::new(vec![None; calls.len()]),
            calls,
        }
    }

    /// Starts the callers of a process.
    fn start(
        self: &Arc<Self>,
        process: usize,
        server: &Server,
        client: Arc<dyn Client>,
        wire: &Wire,
        workers: &mut JoinSet<()>,
    ) {
        match server.work {
            Work::Steady { calls, callers } => {
                let share = calls / server.processes;
                let (next, end) = (
                    Arc::new(AtomicUsize::new(process * share)),
                    (process + 1) * share,
                );
                for _ in 0..callers {
                    let (job, client, wire) = (Arc::clone(self), Arc::clone(&client), wire.clone());
                    let next = Arc::clone(&next);
                    workers.spawn(async move {
                        let take = || next.fetch_add(1, Ordering::Relaxed);
                        while let Some(number) = Some(take()).filter(|number| *number < end) {
                            job.call(number, &*client, &wire).await;
                        }
                    });
                }
            }
            Work::Bursts(each) => {
                for number in 0..self.calls.len() {
                    let (job, client, wire) = (Arc::clone(self), Arc::clone(&client), wire.clone());
                    workers.spawn(async move {
                        sleep_until(job.start + arrival(number / each)).await;
                        job.call(number, &*client, &wire).await;
                    });
                }
            }
        }
    }

    async fn call(&self, number: usize, client: &dyn Client, wire: &Wire) {
        let since = now();
        let succeeded = client.call(self.calls[number]).await;
        let departure = wire.departure(number).filter(|_| succeeded);
        self.ended.lock().unwrap()[number] = Some(Ended {
            at: self.start.elapsed(),
            wait: departure.map(|at| at - since),
        });
    }
}
