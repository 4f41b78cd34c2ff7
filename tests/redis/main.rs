//! Limits that processes share through a real Redis, in real time. Without `redis-server` each test ends at once.
#![allow(clippy::disallowed_methods, reason = "a real server has real time")]

mod departures;
mod events;
mod garbage;
mod life;
mod rejected;
mod secrets;
#[cfg(feature = "redis-tls")]
mod tls;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use redis::{Client, Connection, FromRedisValue, ToRedisArgs, cmd};
use testing::redis::Server;
use tower_together::{
    Endpoint, Limiter, Limits, Quota, extension::ApiKey, limiter::Call, redis::Redis,
};

const CHAT: Endpoint = Endpoint::ChatCompletions;

fn chat() -> Call {
    Call::new(CHAT)
}

fn of_key(key: &str) -> Call {
    chat().with_key(ApiKey::new(key))
}

/// The limit of `max` requests in each window of `seconds`.
fn limits(max: u64, seconds: u64) -> Limits {
    Limits::none().requests(CHAT, Quota::new(max, Duration::from_secs(seconds)).unwrap())
}

/// One process more that shares the limit.
fn limiter(url: &str, limits: Limits) -> Limiter {
    Limiter::new(limits).shared_by(Redis::new(url).unwrap())
}

/// Sends as fast as the limiter allows for `time`. Returns the instants of departure.
async fn send(limiter: &Limiter, call: &Call, time: Duration) -> Vec<Instant> {
    let end = tokio::time::Instant::now() + time;
    let mut departures = Vec::new();
    while let Ok(permit) = tokio::time::timeout_at(end, limiter.acquire(call.clone())).await {
        drop(permit.unwrap());
        departures.push(Instant::now());
    }
    departures
}

/// The most departures in any window.
fn most(departures: &[Instant], window: Duration) -> usize {
    let (mut most, mut first) = (0, 0);
    for (index, at) in departures.iter().enumerate() {
        while *at - departures[first] >= window {
            first += 1;
        }
        most = most.max(index + 1 - first);
    }
    most
}

/// The view of a user of the server.
struct Admin(Connection);

impl Admin {
    fn of(server: &Server) -> Self {
        Self(
            Client::open(server.url())
                .unwrap()
                .get_connection()
                .unwrap(),
        )
    }

    fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> T {
        let mut call = cmd(words[0]);
        for word in &words[1..] {
            call.arg(word.to_redis_args());
        }
        call.query(&mut self.0).unwrap()
    }

    /// Sends a command that has no reply worth reading.
    fn tell(&mut self, words: &[&str]) {
        self.ask::<redis::Value>(words);
    }

    /// The names of all keys that end with `end`.
    fn keys(&mut self, end: &str) -> Vec<String> {
        self.ask(&["KEYS", &format!("*{end}")])
    }

    /// The number of processes that each shared key knows.
    fn processes(&mut self) -> Vec<u64> {
        let sets = self.keys("m");
        sets.iter().map(|set| self.ask(&["ZCARD", set])).collect()
    }

    /// The number of connections, this one left out.
    fn connections(&mut self) -> usize {
        self.ask::<String>(&["CLIENT", "LIST"]).lines().count() - 1
    }
}

fn signal(signal: &str, pid: u32) {
    let sent = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(sent.unwrap().success());
}
