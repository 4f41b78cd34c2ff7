//! Which schedules run.

use std::{
    str::FromStr,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
};

use crate::patience::PATIENCE;

/// Runs `check` for as many seeds as the environment says, else these.
///
/// # Panics
///
/// If a schedule fails, or does not end although the clock stands still.
pub(crate) fn for_each_seed(test: &str, first: u64, many: u64, check: fn(u64)) {
    let first = given("SCHEDULES_SEED").unwrap_or(first);
    let many = given("SCHEDULES").unwrap_or(many);
    let (ended, ends) = channel();
    let worker = thread::spawn(move || {
        for seed in (0..many).map(|n| first.wrapping_add(n)) {
            check(seed);
            if ended.send(()).is_err() {
                break;
            }
        }
    });
    for seed in (0..many).map(|n| first.wrapping_add(n)) {
        let failed = match ends.recv_timeout(PATIENCE) {
            Ok(()) => continue,
            Err(RecvTimeoutError::Timeout) => "spins",
            Err(RecvTimeoutError::Disconnected) => "fails",
        };
        panic!(
            "schedule {seed} {failed}; alone: SCHEDULES_SEED={seed} SCHEDULES=1 \
             cargo test --test schedules {test}"
        );
    }
    worker.join().expect("each schedule ended");
}

fn given<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}
