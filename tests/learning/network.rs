//! A network, and servers at its other end, one for each model.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use tokio::time::{Instant, sleep};

use crate::{
    run::Setting,
    server::{Server, Verdict},
    tally::Tally,
    virtual_time::now,
};

/// What a server says of its limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Says {
    /// All of it, on every answer; how long to wait in whole seconds, as Together was seen to.
    Limits,
    /// The same, but how long to wait as exactly as it is known, in `x-ratelimit-reset` alone.
    Exact,
    /// How long to wait, on 429s.
    Wait,
    Nothing,
}

#[derive(Clone)]
pub(crate) struct Network(Arc<Mutex<World>>);

struct World {
    servers: Vec<(Server, Tally)>,
    start: Instant,
    says: Says,
    delay: (u64, u64),
    random: fastrand::Rng,
}

impl Network {
    pub(crate) fn new(setting: &Setting, mut random: fastrand::Rng) -> Self {
        let tally = Tally::new(setting.counted_from, setting.seconds, setting.clients.len());
        let servers = setting.servers.iter();
        Self(Arc::new(Mutex::new(World {
            servers: servers
                .map(|rules| (Server::new(*rules, &mut random), tally.clone()))
                .collect(),
            start: now(),
            says: setting.says,
            delay: setting.delay,
            random,
        })))
    }

    /// One request of a client to a model's server, and its answer back.
    pub(crate) async fn send(&self, client: usize, model: usize) -> Response<Full<Bytes>> {
        sleep(self.leave(model)).await;
        let (answer, takes) = self.0.lock().unwrap().arrival(client, model);
        sleep(takes).await;
        answer
    }

    /// Notes in the middle of each second what the servers allow in it.
    pub(crate) async fn watch(&self, seconds: u64) {
        sleep(Duration::from_millis(500)).await;
        for second in 0..seconds {
            self.note(second as usize);
            sleep(Duration::from_secs(1)).await;
        }
    }

    pub(crate) fn tallies(&self) -> Vec<Tally> {
        let world = self.0.lock().unwrap();
        world
            .servers
            .iter()
            .map(|(_, tally)| tally.clone())
            .collect()
    }

    fn note(&self, second: usize) {
        let world = &mut *self.0.lock().unwrap();
        for (server, tally) in &mut world.servers {
            tally.allowed[second] = server.left(now() - world.start);
        }
    }

    fn leave(&self, model: usize) -> Duration {
        let world = &mut *self.0.lock().unwrap();
        world.servers[model].1.sent(now() - world.start);
        world.between(world.delay)
    }
}

impl World {
    fn arrival(&mut self, client: usize, model: usize) -> (Response<Full<Bytes>>, Duration) {
        let now = now() - self.start;
        let (server, tally) = &mut self.servers[model];
        let verdict = server.arrival(now);
        tally.arrived(now, client, verdict.wait.is_none());
        let takes = match verdict.wait {
            None => self.between(THINKS),
            Some(_) => REFUSES,
        };
        let takes = takes + self.between(self.delay);
        (self.answer(verdict), takes)
    }

    fn answer(&mut self, verdict: Verdict) -> Response<Full<Bytes>> {
        let mut answer = Response::new(Full::from("{}"));
        let wait = verdict.wait.map(whole_seconds);
        if let Some(wait) = wait {
            *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            *answer.body_mut() = Full::from(*self.random.choice(&BODIES).unwrap());
            if matches!(self.says, Says::Limits | Says::Wait) {
                answer.headers_mut().insert(RETRY_AFTER, wait.into());
            }
        }
        if matches!(self.says, Says::Limits | Says::Exact) {
            let reset = match (wait, verdict.wait) {
                (Some(wait), _) if self.says == Says::Limits => wait as f64,
                (_, Some(wait)) => wait.as_secs_f64() + HALF_A_MILLI,
                (_, None) => verdict.reset.as_secs_f64(),
            };
            let headers = answer.headers_mut();
            put(headers, "x-ratelimit-limit", verdict.limit);
            put(headers, "x-ratelimit-remaining", verdict.remaining.into());
            put(headers, "x-ratelimit-reset", reset);
        }
        answer
    }

    fn between(&mut self, (from, to): (u64, u64)) -> Duration {
        Duration::from_micros(self.random.u64(1_000 * from..=1_000 * to))
    }
}

fn put(headers: &mut HeaderMap, name: &'static str, value: f64) {
    // To the thousandth, as a server would, and 10 as "10".
    let value = (value * 1_000.0).round() / 1_000.0;
    headers.insert(name, HeaderValue::try_from(value.to_string()).unwrap());
}

fn whole_seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000_000)).unwrap()
}

/// Milliseconds.
const THINKS: (u64, u64) = (500, 3_500);
/// What rounding to the thousandth may take away.
const HALF_A_MILLI: f64 = 0.000_5;
const REFUSES: Duration = Duration::from_millis(5);
/// Where the API was seen to say what a 429 is about. None names the limit.
const BODIES: [&str; 3] = [
    r#"{"error":{"message":"Too many requests.","type":"dynamic_request_limited","param":null,"code":null}}"#,
    r#"{"error":{"message":"Too many requests.","type":null,"param":null,"code":null},"error_type":"dynamic_request_limited"}"#,
    r#"{"error":{"message":"Too many requests.","param":null,"code":"dynamic_request_limited"}}"#,
];
