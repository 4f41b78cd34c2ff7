//! Eight processes share one limit through Redis, which is killed on the way, as is one of them.
//!
//! ```text
//! cargo run --release --features redis --example shared_redis
//! ```
//!
//! It starts `redis-server` on a socket of its own (or the program that `REDIS_SERVER` names), and eight
//! workers that always have something to send: 600 requests in each 6 s for all of them together. It draws
//! what each worker sends. The last line is over all windows of 6 s, and over the workers alive throughout.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program of its own, in real time, which draws on the screen"
)]

use std::{
    env,
    error::Error,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tower_together::{Endpoint, Limiter, Limits, Quota, limiter::Call, redis::Redis};

const WORKERS: usize = 8;
const MAX: usize = 600;
const PER: Duration = Duration::from_secs(6);
const SECONDS: u64 = 60;

fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1) {
        Some(url) => work(&url),
        None => lead(),
    }
}

/// One worker: it writes the instant of each request.
#[tokio::main(flavor = "current_thread")]
async fn work(url: &str) -> Result<(), Box<dyn Error>> {
    let limits = Limits::none().requests(Endpoint::ChatCompletions, Quota::new(MAX as u64, PER)?);
    let limiter = Limiter::new(limits).shared_by(Redis::new(url)?);
    loop {
        let permit = limiter
            .acquire(Call::new(Endpoint::ChatCompletions))
            .await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
        let mut output = std::io::stdout().lock();
        output.write_all(&now.to_le_bytes())?;
        output.flush()?;
        drop(permit);
    }
}

/// The program that the user starts.
fn lead() -> Result<(), Box<dyn Error>> {
    let folder = env::temp_dir().join(format!("shared-redis-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let socket = folder.join("socket");
    let mut redis = Running(start_redis(&socket)?);
    let url = format!("redis+unix://{}", socket.display());
    let (sender, departures) = mpsc::channel();
    let mut workers = (0..WORKERS)
        .map(|worker| start_worker(worker, &url, sender.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let mut log = Vec::new();
    for second in 1..=SECONDS {
        match second {
            20 => {
                redis.0.kill()?;
                redis.0.wait()?;
                std::fs::remove_file(&socket)?;
            }
            23 => redis = Running(start_redis(&socket)?),
            40 => workers[0].0.kill()?,
            _ => {}
        }
        thread::sleep(
            (start + Duration::from_secs(second)).saturating_duration_since(Instant::now()),
        );
        draw(second, &departures, &mut log);
    }
    drop(workers);
    drop(redis);
    std::fs::remove_dir_all(&folder)?;
    judge(log);
    Ok(())
}

/// A program that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_redis(socket: &PathBuf) -> Result<Child, Box<dyn Error>> {
    let program = env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let child = Command::new(&program)
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(socket)
        .current_dir(socket.parent().unwrap_or(Path::new("/")))
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| {
            format!(
                "{program} cannot be started ({error}): install it (Debian: apt install redis-server), or name \
                 another one, such as valkey-server, in REDIS_SERVER"
            )
        })?;
    Ok(child)
}

fn start_worker(
    worker: usize,
    url: &str,
    sender: Sender<(u64, usize)>,
) -> Result<Running, Box<dyn Error>> {
    let mut child = Command::new(env::current_exe()?)
        .arg(url)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = child.stdout.take().ok_or("a worker has an output")?;
    thread::spawn(move || {
        let mut instant = [0; 8];
        while output.read_exact(&mut instant).is_ok() {
            if sender.send((u64::from_le_bytes(instant), worker)).is_err() {
                return;
            }
        }
    });
    Ok(Running(child))
}

/// Draws what each worker sent in the last second.
fn draw(second: u64, departures: &Receiver<(u64, usize)>, log: &mut Vec<(u64, usize)>) {
    let mut counts = [0_usize; WORKERS];
    for departure in departures.try_iter() {
        counts[departure.1] += 1;
        log.push(departure);
    }
    // Two requests a cell: the fair share of 12 or 13 fills a bar.
    let bars = counts.map(|count| format!("{:<7} ", "▇".repeat(count.div_ceil(2).min(7))));
    let event = match second {
        21 => "Redis was killed",
        24 => "Redis is back, empty",
        41 => "worker 1 was killed",
        _ => "",
    };
    if !event.is_empty() {
        println!("          {event}");
    }
    let sum = counts.iter().sum::<usize>();
    println!("{second:>2} s {sum:>4} {}", bars.concat());
}

/// Writes the line that proves the limit.
fn judge(mut log: Vec<(u64, usize)>) {
    log.sort_unstable();
    let (mut first, mut most) = (0, 0);
    for (index, (at, _)) in log.iter().enumerate() {
        while u128::from(at - log[first].0) >= PER.as_nanos() {
            first += 1;
        }
        most = most.max(index + 1 - first);
    }
    let seconds = log
        .last()
        .zip(log.first())
        .map_or(0.0, |(last, first)| (last.0 - first.0) as f64 / 1e9);
    let used = log.len() as f64 * PER.as_secs_f64() / (MAX as f64 * seconds);
    let alive =
        (1..WORKERS).map(|worker| log.iter().filter(|(_, of)| *of == worker).count() as f64);
    let alive: Vec<_> = alive.collect();
    let mean = alive.iter().sum::<f64>() / alive.len() as f64;
    let least = alive.iter().copied().fold(f64::INFINITY, f64::min) / mean;
    let greatest = alive.iter().copied().fold(0.0, f64::max) / mean;
    println!(
        "workers={WORKERS} over={} quota_used={:.1}% share={least:.2}..{greatest:.2}",
        most.saturating_sub(MAX),
        used * 100.0
    );
}
