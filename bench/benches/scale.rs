//! Times of single steps with many requests waiting, or many keys known. ARCHITECTURE.md has the figures.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]
#![allow(clippy::disallowed_methods, reason = "it measures wall time")]

use std::{
    future::Future,
    hint::black_box,
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};
use tower_together::{
    Endpoint, Limiter, Limits, Quota,
    extension::ApiKey,
    limiter::{Acquire, Call, Report},
};

fn main() {
    println!("{:66}{:>12}{:>12}", "", "median, us", "most, us");
    for lanes in [1, 64, 1_000] {
        let name = format!("an admission with {lanes} lanes waiting");
        row(&name, &admissions(lanes));
    }
    row("snapshot() with 100,000 keys", &snapshots(&known()));
    row(
        "  another request's wait meanwhile",
        &beside(&known(), |limiter| drop(limiter.snapshot())),
    );
    row(
        "snapshot() with 10,000 lanes of one key",
        &snapshots(&lanes()),
    );
    row("set_limits with 100,000 idle keys", &changes(&known()));
    row(
        "  another request's wait meanwhile",
        &beside(&known(), change),
    );
    let waiters = Waiters::new();
    row(
        "set_limits with 100,000 waiters",
        &changes(&waiters.limiter),
    );
    row(
        "  another request's wait meanwhile",
        &beside(&waiters.limiter, change),
    );
    drop(waiters);
    for departures in [100, 100_000] {
        let name = format!("an arrival under an unpaced token quota, {departures} departures");
        row(&name, &unpaced(departures));
    }
    row(
        "a new key when the table is full of keys like new ones",
        &full(false),
    );
    row(
        "a new key when the table is full of keys that have learned",
        &full(true),
    );
    for callers in [1, 1_000_000] {
        let name = format!("an arrival after {callers} callers have gone");
        row(&name, &callers_gone(callers));
    }
}

/// The time of an admission, from many, while each of some lanes always has a request waiting.
fn admissions(lanes: u16) -> Vec<Duration> {
    virtual_time().block_on(async {
        let per_second = 1_000;
        let quota = Quota::per_minute(60 * per_second).unwrap();
        let limiter = Limiter::new(Limits::none().requests(CHAT, quota)).with_max_lanes(lanes);
        let mut tasks = tokio::task::JoinSet::new();
        for lane in 0..lanes {
            let (limiter, call) = (limiter.clone(), chat().with_model(format!("m{lane}")));
            tasks.spawn(async move {
                loop {
                    drop(limiter.acquire(&call).await.unwrap());
                }
            });
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let start = Instant::now();
            tokio::time::sleep(Duration::from_secs(1)).await;
            times.push(start.elapsed() / per_second as u32);
        }
        times
    })
}

fn snapshots(limiter: &Limiter) -> Vec<Duration> {
    timed(RUNS, || drop(black_box(limiter.snapshot())))
}

fn changes(limiter: &Limiter) -> Vec<Duration> {
    timed(RUNS, || change(limiter))
}

fn change(limiter: &Limiter) {
    limiter.set_limits(limits());
}

/// The longest time that a request of another thread takes while `act` runs.
fn beside(limiter: &Limiter, act: impl Fn(&Limiter)) -> Vec<Duration> {
    let call = chat().with_key(ApiKey::new("0"));
    let (over, longest) = (AtomicBool::new(false), AtomicU64::new(0));
    let requests = AtomicU64::new(0);
    // Those that are under way when it is called are over when it returns.
    let wait = || {
        let before = requests.load(Relaxed);
        while requests.load(Relaxed) < before + 2 {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                let start = Instant::now();
                let _ = black_box(limiter.try_acquire(&call));
                longest.fetch_max(start.elapsed().as_nanos() as u64, Relaxed);
                requests.fetch_add(1, Relaxed);
            }
        });
        let runs = (0..RUNS).map(|_| {
            wait();
            longest.store(0, Relaxed);
            act(limiter);
            wait();
            Duration::from_nanos(longest.load(Relaxed))
        });
        let runs = runs.collect();
        over.store(true, Relaxed);
        runs
    })
}

/// A limiter that knows 100,000 keys.
fn known() -> Limiter {
    let limiter = Limiter::new(limits());
    for key in 0..MANY {
        drop(limiter.try_acquire(keyed(key)).unwrap());
    }
    limiter
}

/// A limiter that knows 10,000 lanes of one key.
fn lanes() -> Limiter {
    let limiter = Limiter::new(limits()).with_max_lanes(u16::MAX);
    for lane in 0..10_000 {
        let _ = limiter.try_acquire(chat().with_model(format!("m{lane}")));
    }
    limiter
}

/// 100,000 requests with deadlines that wait in one lane.
struct Waiters {
    waiting: Vec<Pin<Box<Acquire>>>,
    limiter: Limiter,
    runtime: Runtime,
}

impl Waiters {
    fn new() -> Self {
        let runtime = virtual_time();
        let limiter = Limiter::new(limits());
        let waiting = runtime.block_on(async {
            let waiting = (0..MANY).map(|_| {
                let call = chat().with_deadline(Duration::from_secs(1_000_000));
                wait(&limiter, call)
            });
            waiting.collect()
        });
        Self {
            waiting,
            limiter,
            runtime,
        }
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.limiter.close();
        self.waiting.clear();
    }
}

fn unpaced(departures: u32) -> Vec<Duration> {
    let quota = Quota::per_hour(u64::from(departures)).unwrap().unpaced();
    let limiter = Limiter::new(Limits::none().tokens(CHAT, quota));
    for _ in 0..departures {
        drop(limiter.try_acquire(chat().with_tokens(1)).unwrap());
    }
    let call = chat().with_tokens(u64::from(departures) / 2);
    timed(1_000, || {
        black_box(limiter.try_acquire(&call).unwrap_err());
    })
}

fn full(learned: bool) -> Vec<Duration> {
    virtual_time().block_on(async {
        let limiter = Limiter::new(limits());
        for key in 0..MANY {
            let mut permit = limiter.try_acquire(keyed(key)).unwrap();
            if learned {
                let now = std::time::SystemTime::UNIX_EPOCH;
                let mut headers = http::HeaderMap::new();
                headers.insert("x-ratelimit-limit", http::HeaderValue::from_static("10"));
                permit.report(&Report::read(
                    CHAT,
                    http::StatusCode::OK,
                    &headers,
                    b"",
                    now,
                ));
            }
        }
        tokio::time::sleep(Duration::from_secs(120)).await;
        let mut key = MANY;
        let times = (0..3 * MANY).map(|_| {
            key += 1;
            let call = keyed(key);
            let start = Instant::now();
            drop(limiter.try_acquire(&call));
            start.elapsed()
        });
        times.collect()
    })
}

fn callers_gone(callers: u64) -> Vec<Duration> {
    virtual_time().block_on(async {
        let limiter = Limiter::new(limits()).with_max_waiting(usize::MAX);
        let by = |caller: u64| {
            let call = chat().with_deadline(Duration::from_secs(1_000_000_000));
            wait(&limiter, call.with_caller(&caller.to_string()))
        };
        let _first = by(0);
        let _second = by(u64::MAX);
        let waiting: Vec<_> = (0..callers).map(by).collect();
        drop(waiting);
        let times = (0..1_000).map(|_| {
            let start = Instant::now();
            let waiting = by(u64::MAX);
            let time = start.elapsed();
            drop(waiting);
            time
        });
        times.collect()
    })
}

fn wait(limiter: &Limiter, call: Call) -> Pin<Box<Acquire>> {
    let mut turn = Box::pin(limiter.acquire(call));
    let mut cx = Context::from_waker(Waker::noop());
    let _ = black_box(turn.as_mut().poll(&mut cx));
    turn
}

fn timed(times: usize, mut act: impl FnMut()) -> Vec<Duration> {
    let runs = (0..times).map(|_| {
        let start = Instant::now();
        act();
        start.elapsed()
    });
    runs.collect()
}

fn row(name: &str, times: &[Duration]) {
    let mut times: Vec<_> = times
        .iter()
        .map(|time| time.as_nanos() as f64 / 1e3)
        .collect();
    times.sort_by(f64::total_cmp);
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{name:66}{median:>12.2}{most:>12.2}");
}

fn limits() -> Limits {
    Limits::none().requests(CHAT, Quota::per_minute(600).unwrap())
}

fn keyed(key: u32) -> Call {
    chat().with_key(ApiKey::new(&key.to_string()))
}

fn chat() -> Call {
    Call::new(CHAT)
}

fn virtual_time() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

const CHAT: Endpoint = Endpoint::ChatCompletions;
const MANY: u32 = 100_000;
const RUNS: usize = 9;
