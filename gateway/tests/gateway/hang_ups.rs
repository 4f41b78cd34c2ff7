//! Thousands of streaming calls, and programs that hang up at any moment.

use std::{sync::Arc, time::Duration};

use together_standin::{Rules, StandIn};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    process::{Gateway, Lanes},
    program::{Program, streamed},
};

/// The outcomes of the calls.
#[derive(Debug, Default)]
struct Outcome {
    /// Read to the end.
    whole: u32,
    /// Hung up before the response's head arrived, in the queue or in flight.
    early: u32,
    /// Hung up in the middle of the stream.
    midway: u32,
}

/// The connections and calls that are open, in the gateway and behind it.
#[derive(Debug, PartialEq)]
struct Open {
    slots_free: u64,
    waiting: u64,
    calls: u64,
    connections: u64,
    tasks: u64,
    upstream: usize,
}

async fn open(gateway: &Gateway, server: &StandIn) -> Open {
    let lanes: Lanes = gateway.lanes().await;
    let lane = lanes.of("chat-completions", Some("m"));
    let limits = lane["limits"].as_array().unwrap();
    let slots = limits.iter().find(|limit| limit["counts"] == "in-flight");
    let number = |name: &str| lanes["open"][name].as_u64().unwrap();
    Open {
        slots_free: slots.unwrap()["left"].as_u64().unwrap(),
        waiting: lanes.waiting(),
        calls: number("calls"),
        // The connection that asks is not counted.
        connections: number("connections") - 1,
        tasks: number("tasks"),
        upstream: server.connections(),
    }
}

/// Returns the open connections and calls once `is_settled` is true, or after [`SETTLED`].
async fn settle(gateway: &Gateway, server: &StandIn, is_settled: impl Fn(&Open) -> bool) -> Open {
    let begun = Instant::now();
    loop {
        let now = open(gateway, server).await;
        if is_settled(&now) || begun.elapsed() > SETTLED {
            return now;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// One call: read to its end, or dropped after some time or some events.
async fn call(program: Program, gateway: Arc<Gateway>, seed: u64) -> Outcome {
    let mut random = fastrand::Rng::with_seed(seed);
    let request = gateway.post(streamed("m"));
    let (in_time, events) = match random.u8(..10) {
        0..4 => (Duration::from_millis(random.u64(0..500)), usize::MAX),
        4..7 => (Duration::MAX, random.usize(0..6)),
        _ => (Duration::MAX, usize::MAX),
    };
    let mut outcome = Outcome::default();
    let Ok(mut response) = timeout(in_time, program.open(request)).await else {
        outcome.early = 1;
        return outcome;
    };
    assert!(response.headers().contains_key("x-accel-buffering"));
    let mut last = String::new();
    for _ in 0..events {
        match response.event().await {
            Some(event) => last = event,
            None => break,
        }
    }
    match last.contains("[DONE]") {
        true => outcome.whole = 1,
        false => {
            assert!(
                events < 6,
                "a stream that was not given up ended early: {last}"
            );
            outcome.midway = 1;
        }
    }
    outcome
}

/// Makes `calls` calls from eight programs, 160 at a time. When this returns, the programs have ended, and their
/// connections with them.
async fn call_all(gateway: &Arc<Gateway>, calls: u64) -> Outcome {
    let at_once = Arc::new(Semaphore::new(160));
    let programs: Vec<_> = (0..8)
        .map(|n| Program::speaking(n % 2 == 1, &format!("program {n}")))
        .collect();
    let mut running = JoinSet::new();
    for n in 0..calls {
        let place = Arc::clone(&at_once).acquire_owned().await.unwrap();
        let program = programs[n as usize % programs.len()].clone();
        let gateway = Arc::clone(gateway);
        running.spawn(async move {
            let outcome = call(program, gateway, n).await;
            drop(place);
            outcome
        });
    }
    let mut sum = Outcome::default();
    while let Some(outcome) = running.join_next().await {
        sum.add(&outcome.unwrap());
    }
    sum
}

#[expect(clippy::print_stdout, reason = "what was measured is to be seen")]
async fn hang_up(calls: u64) {
    let server = StandIn::builder()
        .rules(Rules::none())
        // Leaves time to hang up between a call's departure and its response.
        .latency(Duration::from_millis(40)..=Duration::from_millis(120))
        .chunk_delay(Duration::from_millis(10))
        .start();
    let server = server.await.unwrap();
    // There are few slots, so that calls queue.
    let limit = "chat-completions=36000";
    let flags = ["--http2", "--max-streams", "48", "--limit", limit];
    let gateway = Arc::new(Gateway::before(&server.url(), &flags).await);
    // A first call opens the connection to the API, and starts the task that serves it.
    let first = Program::new("first");
    first.send(gateway.post(streamed("m"))).await;
    drop(first);
    let before = settle(&gateway, &server, |now| now.connections == 0).await;

    let begun = Instant::now();
    let sum = call_all(&gateway, calls).await;
    let ended = Instant::now();
    let after = settle(&gateway, &server, |now| *now == before).await;
    let settled = ended.elapsed();

    let arrived = server.stats().arrived - 1;
    // The API never saw these.
    let queued = calls - arrived;
    let sent = u64::from(sum.early).saturating_sub(queued);
    println!("{before:?} before\n{after:?} {settled:.1?} after");
    println!(
        "{calls} calls in {:.1?}: {} read to the end; hung up {queued} in the queue, {sent} before \
         the response, {} in its middle",
        ended - begun,
        sum.whole,
        sum.midway
    );
    assert_eq!(after, before);
    assert_eq!(u64::from(sum.whole + sum.early + sum.midway), calls);
    // Each kind is frequent, except for calls that had left: on a slow machine, programs that hang up
    // early do so in the queue.
    for kind in [u64::from(sum.whole), queued, u64::from(sum.midway)] {
        assert!(kind > calls / 250, "{sum:?}, {queued} in the queue");
    }
    assert_eq!(server.stats().refused, 0);
}

impl Outcome {
    fn add(&mut self, other: &Self) {
        self.whole += other.whole;
        self.early += other.early;
        self.midway += other.midway;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_500_calls_with_hang_ups_nothing_is_left() {
    hang_up(500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: ./check --all runs it"]
async fn after_10_000_calls_with_hang_ups_nothing_is_left() {
    hang_up(10_000).await;
}

/// Ten times as long as a slow machine takes, and less than the 30 s after which timers close idle connections.
const SETTLED: Duration = Duration::from_secs(20);
