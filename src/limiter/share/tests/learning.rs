//! The pace that one process learns for all.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    CHAT, quota,
    world::{Fault, Server, terms},
};
use crate::{
    clock::now,
    limiter::Limiter,
    words::{Call, Limits, Report, Unit},
};

/// A server with a bucket of ten requests, refilled at a rate that nobody has written down.
struct Api {
    state: Mutex<State>,
    start: Instant,
    /// The requests a second, until the second at which they change, and after it.
    rates: (f64, u64, f64),
    names_limit: bool,
}

#[derive(Default)]
struct State {
    level: f64,
    at: f64,
    accepted: Vec<u64>,
    rejected: u64,
}

impl Api {
    fn new(rates: (f64, u64, f64), processes: usize, names_limit: bool) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                accepted: vec![0; processes],
                ..State::default()
            }),
            start: now(),
            rates,
            names_limit,
        })
    }

    fn rate(&self) -> f64 {
        let (before, second, after) = self.rates;
        match self.start.elapsed().as_secs() < second {
            true => before,
            false => after,
        }
    }

    fn accepts(&self, process: usize) -> bool {
        let (at, rate) = (self.start.elapsed().as_secs_f64(), self.rate());
        let mut state = self.state.lock().unwrap();
        state.level = (state.level - (at - state.at) * rate).max(0.0);
        state.at = at;
        let accepts = state.level <= 9.0;
        match accepts {
            true => {
                state.level += 1.0;
                state.accepted[process] += 1;
            }
            false => state.rejected += 1,
        }
        accepts
    }
}

/// The part of the quota that was used, the part of requests that were rejected, and the least share.
async fn work(limiters: Vec<Limiter>, api: &Arc<Api>, seconds: u64) -> (f64, f64, f64) {
    let end = api.start + Duration::from_secs(seconds);
    let mut tasks = JoinSet::new();
    for (process, limiter) in limiters.into_iter().enumerate() {
        for _ in 0..12 {
            let (limiter, api) = (limiter.clone(), Arc::clone(api));
            tasks.spawn(async move {
                while now() < end {
                    let mut permit = limiter.acquire(Call::new(CHAT)).await.unwrap();
                    sleep(Duration::from_millis(fastrand::u64(10..30))).await;
                    match api.accepts(process) {
                        true => {
                            sleep(Duration::from_millis(fastrand::u64(50..250))).await;
                            let mut report = Report::default();
                            if api.names_limit {
                                report.limits[Unit::Requests].limit = Some(api.rate());
                            }
                            permit.report(&report);
                        }
                        false => {
                            permit.throttled(Some(Duration::from_secs(1)));
                        }
                    }
                }
            });
        }
    }
    sleep_until(end).await;
    tasks.abort_all();
    let (before, second, after) = api.rates;
    let second = second.min(seconds) as f64;
    let quota = before * second + after * (seconds as f64 - second);
    let state = api.state.lock().unwrap();
    let accepted = state.accepted.iter().sum::<u64>() as f64;
    let least = *state.accepted.iter().min().unwrap() as f64;
    (
        accepted / quota,
        state.rejected as f64 / (accepted + state.rejected as f64),
        least * state.accepted.len() as f64 / accepted,
    )
}

/// The same for processes that share, and for one that does not.
async fn compare(
    limits: impl Fn() -> Limits,
    rates: (f64, u64, f64),
    names_limit: bool,
) -> [(f64, f64, f64); 2] {
    let api = Api::new(rates, 1, names_limit);
    let alone = work(vec![Limiter::new(limits())], &api, 600).await;
    let server = Server::new(5, 0, &[]);
    let processes = (0..8).map(|of| server.process(of, limits(), terms(8)));
    let api = Api::new(rates, 8, names_limit);
    [alone, work(processes.collect(), &api, 600).await]
}

fn written(max: u64) -> Limits {
    Limits::none().requests(CHAT, quota(max, 6))
}

#[tokio::test(start_paused = true)]
async fn eight_processes_learn_one_pace_with_at_most_twice_the_429s_of_one() {
    type Case = (&'static str, fn() -> Limits, (f64, u64, f64), bool);
    let cases: [Case; 5] = [
        ("written 10, true 8", || written(60), (8.0, 600, 8.0), false),
        ("halves", || written(60), (10.0, 300, 5.0), false),
        ("default, true 5", Limits::default, (5.0, 600, 5.0), false),
        (
            "default, true 30",
            Limits::default,
            (30.0, 600, 30.0),
            false,
        ),
        ("named 25", Limits::default, (25.0, 600, 25.0), true),
    ];
    for (name, limits, rates, names_limit) in cases {
        let [alone, shared] = compare(limits, rates, names_limit).await;
        assert!(
            shared.1 <= 2.0 * alone.1 + 0.002,
            "{name}: {alone:?} {shared:?}"
        );
        assert!(
            shared.0 >= alone.0 - 0.1 && shared.2 >= 0.8,
            "{name}: {alone:?} {shared:?}"
        );
    }
}

/// The pace outlives the process that learned it, and a ledger that forgets it.
#[tokio::test(start_paused = true)]
async fn another_process_goes_on_learning_when_the_one_that_learned_dies() {
    let server = Server::new(5, 0, &[200_000, 300_000].map(Fault::Forgets));
    let limiters: Vec<_> = (0..4)
        .map(|of| server.process(of, written(60), terms(4)))
        .collect();
    let api = Api::new((8.0, 100, 8.0), 4, false);
    work(limiters.clone(), &api, 100).await;
    for left in [3, 2] {
        // It is not known which of them learns, so each dies in turn.
        let api = Api::new((5.0, 100, 5.0), left, false);
        let (used, rejected, _) = work(limiters[4 - left..].to_vec(), &api, 100).await;
        assert!(
            used >= 0.85 && rejected <= 0.02,
            "{left}: {used} {rejected}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_learned_while_the_ledger_is_away() {
    let server = Server::new(5, 0, &[Fault::Refuses(100_000..400_000)]);
    let limiter = server.process(0, written(60), terms(1));
    let pace = || {
        let lanes = limiter.snapshot().lanes;
        let learned = lanes[0].limits.iter().find(|limit| limit.learned);
        learned.map(|limit| (limit.max, limit.per))
    };
    // The server takes more from the instant on at which the ledger goes away.
    let api = Api::new((5.0, 100, 50.0), 1, false);
    work(vec![limiter.clone()], &api, 101).await;
    let before = pace();
    let api = Api::new((50.0, 290, 50.0), 1, false);
    work(vec![limiter.clone()], &api, 290).await;
    assert_eq!(pace(), before);
    let api = Api::new((50.0, 300, 50.0), 1, false);
    work(vec![limiter.clone()], &api, 300).await;
    assert_ne!(pace(), before);
}

/// Whether the pace of the first lane was learned.
fn has_learned(limiter: &Limiter) -> bool {
    let lanes = limiter.snapshot().lanes;
    lanes[0].limits.iter().any(|limit| limit.learned)
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_not_adaptive_keeps_to_its_table() {
    let server = Server::new(5, 0, &[]);
    let learner = server.process(0, written(60), terms(2));
    let fixed = server.process(1, written(60), terms(2)).adaptive(false);
    let api = Api::new((5.0, 60, 5.0), 2, false);
    work(vec![learner.clone(), fixed.clone()], &api, 60).await;
    assert!(has_learned(&learner) && !has_learned(&fixed));
}

#[tokio::test(start_paused = true)]
async fn a_process_with_a_new_table_follows_the_shared_pace_again() {
    let server = Server::new(5, 0, &[]);
    let processes = [0, 1].map(|of| server.process(of, written(60), terms(2)));
    let api = Api::new((5.0, 60, 5.0), 2, false);
    work(processes.to_vec(), &api, 60).await;
    // It is not known which of them learns.
    for process in &processes {
        process.set_limits(written(66));
        assert!(!has_learned(process));
        // No rejection makes it learn anew.
        let api = Api::new((50.0, 5, 50.0), 2, false);
        work(processes.to_vec(), &api, 5).await;
        assert!(processes.iter().all(has_learned));
    }
}

/// The costs before the pace was learned are no debt of the pace.
#[tokio::test(start_paused = true)]
async fn a_pace_of_tokens_begins_without_a_debt() {
    let server = Server::new(5, 0, &[]);
    let limits = Limits::none().tokens(CHAT, quota(60_000, 6));
    let limiter = server.process(0, limits, terms(1));
    let dearer = async |report: &Report| {
        let mut permit = limiter
            .acquire(Call::new(CHAT).with_tokens(10))
            .await
            .unwrap();
        permit.settle(1_000);
        permit.report(report);
    };
    let mut report = Report::default();
    for _ in 0..300 {
        dearer(&report).await;
    }
    report.limits[Unit::Tokens].limit = Some(5_000.0);
    dearer(&report).await;
    sleep(Duration::from_secs(1)).await;
    dearer(&report).await;
    let since = now();
    for _ in 0..20 {
        dearer(&report).await;
    }
    assert!(
        since.elapsed() < Duration::from_secs(8),
        "{:?}",
        since.elapsed()
    );
}
