//! The limiter without tower, in virtual time: the promises to its users.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod bounds;
mod call;
mod departures;
mod keys;
mod lanes;
mod pauses;
mod rejected;
mod report;
mod restart;
mod slots;
mod snapshot;
mod tokens;
mod turns;

use tower_together::{Endpoint, Limiter, Limits, Quota, extension::ApiKey, limiter::Call};

const CHAT: Endpoint = Endpoint::ChatCompletions;

fn per_minute(max: u64) -> Limits {
    Limits::none().requests(CHAT, Quota::per_minute(max).unwrap())
}

fn chat() -> Call {
    Call::new(CHAT)
}

/// Lets a request pass, and ends its response at once.
async fn pass(limiter: &Limiter, call: Call) {
    drop(limiter.acquire(call).await.unwrap());
}

fn of_key(key: &str) -> Call {
    chat().with_key(ApiKey::new(key))
}
