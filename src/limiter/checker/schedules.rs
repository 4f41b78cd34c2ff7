//! Random schedules under the model checker. The threads send, are rejected by the server, drop waiting
//! requests, change the table, and wait for an inner service.

use shuttle::{
    future::block_on,
    rand::{Rng, thread_rng},
    thread,
};

use super::{CHAT, Limiter, NARROW, call, park, run};
use crate::words::{Call, Endpoint, Limits, Quota};

/// One of `acts`, as the model checker draws it.
fn draw(acts: u32) -> u32 {
    thread_rng().gen_range(0..acts)
}

/// Draws a small table. Two tables share some rules and differ in others.
fn table() -> Limits {
    let per_second = |max| Quota::per_second(max).unwrap();
    let one = std::num::NonZeroU32::MIN;
    let shared = [CHAT, Endpoint::Embeddings];
    match draw(5) {
        0 => Limits::none().shared(shared, per_second(1)),
        1 => Limits::none().shared(shared, per_second(2).unpaced()),
        2 => Limits::none().in_flight(CHAT, one),
        3 => Limits::none()
            .in_flight(CHAT, one)
            .shared(shared, per_second(2)),
        _ => {
            let own = Limits::none().in_flight(CHAT, one.saturating_add(1));
            let all = Limits::none().requests(CHAT, per_second(1));
            all.in_flight(CHAT, one).for_model("own", own)
        }
    }
}

fn lane() -> Call {
    match draw(3) {
        0 => Call::new(CHAT),
        1 => Call::new(CHAT).with_model("own"),
        _ => Call::new(Endpoint::Embeddings),
    }
}

/// Performs two random actions.
fn act(limiter: &Limiter) {
    for _ in 0..2 {
        match draw(6) {
            0 | 1 => send(limiter, |_| {}),
            2 => send(limiter, |limiter| limiter.set_limits(table())),
            3 => {
                let parked = park(limiter);
                thread::yield_now();
                drop(parked);
            }
            4 => limiter.set_limits(table()),
            _ => call(limiter),
        }
    }
}

/// Sends a request, which the server may reject.
fn send(limiter: &Limiter, meanwhile: fn(&Limiter)) {
    let permit = block_on(limiter.acquire(lane())).unwrap();
    meanwhile(limiter);
    thread::yield_now();
    if draw(3) == 0 {
        permit.throttled(None);
    }
}

#[test]
fn random_schedules_end_and_give_back_slots_and_places() {
    shuttle::check_random(
        || {
            NARROW.set(None);
            run(table(), &[act, act, act]);
        },
        3_000,
    );
}
