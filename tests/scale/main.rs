//! Many waiting requests, many keys, and a long time.

mod by_hand;
mod cancels;
mod day;
mod keys;
mod million;
mod waiters;

use allocation_counter::measure;
use testing::virtual_time;
use tower_together::{Endpoint, Limiter, Limits, Quota, limiter::Call};

/// The heap bytes that `act` leaves in use, with the limiter that it returns.
fn bytes_used(act: impl AsyncFnOnce() -> Limiter) -> i64 {
    let runtime = virtual_time();
    let mut kept = None;
    let used = measure(|| kept = Some(runtime.block_on(act())));
    used.bytes_current
}

fn a_hundred_a_millisecond() -> Limits {
    Limits::none().requests(CHAT, Quota::per_minute(6_000_000).unwrap())
}

fn chat() -> Call {
    Call::new(CHAT)
}

const CHAT: Endpoint = Endpoint::ChatCompletions;
