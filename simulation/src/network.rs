//! A network with a server for each model.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::Full;
use testing::now;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    server::{Fails, Says, Server, Tokens, Verdict},
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
    thinks: (u64, u64),
}

/// The outcome of an attempt.
enum Outcome {
    Accepted,
    Rejected,
    Busy,
    Reset,
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
            thinks: setting.thinks,
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

    /// Sends a client's request to a model's server that resets no connection, and returns the response.
    ///
    /// # Panics
    ///
    /// If the connection is reset.
    pub async fn send(&self, client: usize, model: usize) -> Response<Full<Bytes>> {
        let response = self.try_send(client, model, Tokens::default()).await;
        response.expect("no connection is reset")
    }

    /// Sends a client's request of some tokens to a model's server.
    pub async fn try_send(
        &self,
        client: usize,
        model: usize,
        tokens: Tokens,
    ) -> io::Result<Response<Full<Bytes>>> {
        sleep(self.leave(model)).await;
        let (response, takes) = self.arrive(client, model, tokens);
        sleep(takes).await;
        if matches!(&response, Ok(response) if response.status().is_success()) {
            self.responded(model, tokens);
        }
        response
    }

    /// Lets the workers send until all of them have ended, or the setting's time has passed. Returns a tally for each
    /// model.
    pub async fn let_finish(&self, workers: JoinSet<()>) -> Vec<Tally> {
        let seconds = self.world.lock().unwrap().seconds;
        tokio::select! {
            _ = workers.join_all() => {}
            () = self.watch(seconds) => {}
        }
        self.tallies()
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
        self.tallies()
    }

    fn tallies(&self) -> Vec<Tally> {
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

    fn arrive(
        &self,
        client: usize,
        model: usize,
        tokens: Tokens,
    ) -> (io::Result<Response<Full<Bytes>>>, Duration) {
        let world = &mut *self.world.lock().unwrap();
        world.arrival(client, model, tokens, &mut self.random.lock().unwrap())
    }

    fn responded(&self, model: usize, tokens: Tokens) {
        let world = &mut *self.world.lock().unwrap();
        let now = now() - world.start;
        world.servers[model].0.responded(now, tokens);
    }
}

impl World {
    fn arrival(
        &mut self,
        client: usize,
        model: usize,
        tokens: Tokens,
        random: &mut Rng,
    ) -> (io::Result<Response<Full<Bytes>>>, Duration) {
        let now = now() - self.start;
        let (server, tally) = &mut self.servers[model];
        let verdict = server.arrival(now, tokens);
        tally.arrived(now, client, tokens, verdict.wait.is_none());
        let outcome = match verdict.wait {
            None => Outcome::draw(server.fails(), random),
            Some(_) => Outcome::Rejected,
        };
        let takes = match outcome {
            Outcome::Accepted => between(random, self.thinks),
            Outcome::Reset => between(random, self.thinks) / 2,
            Outcome::Rejected | Outcome::Busy => REJECTS,
        };
        let takes = takes + between(random, self.delay);
        let response = match outcome {
            Outcome::Accepted | Outcome::Rejected => Ok(self.respond(verdict, tokens, random)),
            Outcome::Busy => Ok(busy()),
            Outcome::Reset => Err(io::ErrorKind::ConnectionReset.into()),
        };
        (response, takes)
    }

    fn respond(&self, verdict: Verdict, tokens: Tokens, random: &mut Rng) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(usage(tokens)));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        let wait = verdict.wait.map(whole_seconds);
        if let Some(wait) = wait {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            let error = random.choice(self.errors).copied().unwrap_or_default();
            *response.body_mut() = match verdict.by_tokens {
                true => Full::from(error.replace("request_limited", "token_limited")),
                false => Full::from(error),
            };
            if self.says.in_whole_seconds() {
                response.headers_mut().insert(RETRY_AFTER, wait.into());
            }
        }
        if let Some(per) = self.says.limits_per() {
            let reset = match (wait, verdict.wait) {
                (Some(wait), _) if self.says.in_whole_seconds() => wait as f64,
                (_, Some(wait)) => wait.as_secs_f64() + HALF_A_MILLI,
                (_, None) => verdict.reset.as_secs_f64(),
            };
            let headers = response.headers_mut();
            put(headers, "x-ratelimit-limit", per * verdict.limit);
            put(headers, "x-ratelimit-remaining", verdict.remaining.into());
            put(headers, "x-ratelimit-reset", reset);
            if let Some((limit, remaining)) = verdict.tokens {
                put(headers, "x-ratelimit-limit-tokens", per * limit);
                put(headers, "x-ratelimit-remaining-tokens", remaining.into());
            }
        }
        response
    }
}

impl Outcome {
    /// The outcome of an accepted request.
    fn draw(fails: Fails, random: &mut Rng) -> Self {
        // Nothing is drawn for a server that fails none, so that its other numbers stay the same.
        if fails.busy + fails.reset == 0.0 {
            return Self::Accepted;
        }
        match random.f64() {
            part if part < fails.busy => Self::Busy,
            part if part < fails.busy + fails.reset => Self::Reset,
            _ => Self::Accepted,
        }
    }
}

fn busy() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

fn usage(tokens: Tokens) -> String {
    let Tokens { prompt, output } = tokens;
    let total = prompt + output;
    if total == 0 {
        return "{}".to_owned();
    }
    format!(
        r#"{{"usage":{{"prompt_tokens":{prompt},"completion_tokens":{output},"total_tokens":{total}}}}}"#
    )
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

/// The most that rounding to the thousandth removes.
const HALF_A_MILLI: f64 = 0.000_5;
const REJECTS: Duration = Duration::from_millis(5);
