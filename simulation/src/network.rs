//! A network with a server for each model.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use testing::now;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    server::{Says, Server, Verdict},
    setting::Setting,
    tally::Tally,
};

/// A connection to the servers. Clones share it, and its random numbers.
#[derive(Clone)]
pub struct Network {
    world: Arc<Mutex<World>>,
    random: Arc<Mutex<Rng>>,
}

struct World {
    servers: Vec<(Server, Tally)>,
    start: Instant,
    seconds: u64,
    says: Says,
    errors: &'static [&'static str],
    delay: (u64, u64),
}

impl Network {
    /// Starts the time.
    pub fn new<C>(setting: &Setting<C>, mut random: Rng) -> Self {
        let tally = Tally::new(setting.counted_from, setting.seconds, setting.clients.len());
        let servers = setting.servers.iter();
        let world = World {
            servers: servers
                .map(|rules| (Server::new(*rules, &mut random), tally.clone()))
                .collect(),
            start: now(),
            seconds: setting.seconds,
            says: setting.says,
            errors: setting.errors,
            delay: setting.delay,
        };
        Self {
            world: Arc::new(Mutex::new(world)),
            random: Arc::new(Mutex::new(random)),
        }
    }

    /// A connection to the same servers with random numbers of its own.
    pub fn fork(&self) -> Self {
        let random = self.random.lock().unwrap().fork();
        Self {
            world: Arc::clone(&self.world),
            random: Arc::new(Mutex::new(random)),
        }
    }

    /// Sends a client's request to a model's server, and returns the response.
    pub async fn send(&self, client: usize, model: usize) -> Response<Full<Bytes>> {
        sleep(self.leave(model)).await;
        let (response, takes) = self.arrive(client, model);
        sleep(takes).await;
        response
    }

    /// Lets the workers send until the setting's time has passed. Returns a tally for each model.
    ///
    /// # Panics
    ///
    /// If a worker stops earlier.
    pub async fn let_work(&self, mut workers: JoinSet<()>) -> Vec<Tally> {
        let seconds = self.world.lock().unwrap().seconds;
        let stopped = timeout(Duration::from_secs(seconds), async {
            tokio::join!(workers.join_next(), self.watch(seconds)).0
        });
        let stopped = stopped.await;
        assert!(stopped.is_err(), "a worker stopped: {stopped:?}");
        let world = self.world.lock().unwrap();
        let tallies = world.servers.iter().map(|(_, tally)| tally.clone());
        tallies.collect()
    }

    /// Records in the middle of each second what the servers allow in it.
    async fn watch(&self, seconds: u64) {
        sleep(Duration::from_millis(500)).await;
        for second in 0..seconds {
            self.note(second as usize);
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn note(&self, second: usize) {
        let world = &mut *self.world.lock().unwrap();
        for (server, tally) in &mut world.servers {
            tally.allowed[second] = server.left(now() - world.start);
        }
    }

    fn leave(&self, model: usize) -> Duration {
        let world = &mut *self.world.lock().unwrap();
        world.servers[model].1.sent(now() - world.start);
        between(&mut self.random.lock().unwrap(), world.delay)
    }

    fn arrive(&self, client: usize, model: usize) -> (Response<Full<Bytes>>, Duration) {
        let world = &mut *self.world.lock().unwrap();
        world.arrival(client, model, &mut self.random.lock().unwrap())
    }
}

impl World {
    fn arrival(
        &mut self,
        client: usize,
        model: usize,
        random: &mut Rng,
    ) -> (Response<Full<Bytes>>, Duration) {
        let now = now() - self.start;
        let (server, tally) = &mut self.servers[model];
        let verdict = server.arrival(now);
        tally.arrived(now, client, verdict.wait.is_none());
        let takes = match verdict.wait {
            None => between(random, THINKS),
            Some(_) => REJECTS,
        };
        let takes = takes + between(random, self.delay);
        (self.respond(verdict, random), takes)
    }

    fn respond(&self, verdict: Verdict, random: &mut Rng) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from("{}"));
        let wait = verdict.wait.map(whole_seconds);
        if let Some(wait) = wait {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            let error = random.choice(self.errors).copied();
            *response.body_mut() = Full::from(error.unwrap_or_default());
            if matches!(self.says, Says::Limits | Says::PerMinute | Says::Wait) {
                response.headers_mut().insert(RETRY_AFTER, wait.into());
            }
        }
        if matches!(self.says, Says::Limits | Says::PerMinute | Says::Exact) {
            let reset = match (wait, verdict.wait) {
                (Some(wait), _) if self.says != Says::Exact => wait as f64,
                (_, Some(wait)) => wait.as_secs_f64() + HALF_A_MILLI,
                (_, None) => verdict.reset.as_secs_f64(),
            };
            let headers = response.headers_mut();
            let per = if self.says == Says::PerMinute {
                60.0
            } else {
                1.0
            };
            put(headers, "x-ratelimit-limit", per * verdict.limit);
            put(headers, "x-ratelimit-remaining", verdict.remaining.into());
            put(headers, "x-ratelimit-reset", reset);
        }
        response
    }
}

fn between(random: &mut Rng, (from, to): (u64, u64)) -> Duration {
    Duration::from_micros(random.u64(1_000 * from..=1_000 * to))
}

fn put(headers: &mut HeaderMap, name: &'static str, value: f64) {
    // Rounds to the thousandth, as a server would, and writes 10 as "10".
    let value = (value * 1_000.0).round() / 1_000.0;
    headers.insert(name, HeaderValue::try_from(value.to_string()).unwrap());
}

fn whole_seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000_000)).unwrap()
}

/// The server's time for a response, in milliseconds.
const THINKS: (u64, u64) = (500, 3_500);
/// The most that rounding to the thousandth removes.
const HALF_A_MILLI: f64 = 0.000_5;
const REJECTS: Duration = Duration::from_millis(5);
