//! The choice of schedules to run.

use std::{
    str::FromStr,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
};

use testing::PATIENCE;

/// Runs `check` for as many seeds as the environment says, else these. It tells whether all was well.
///
/// # Panics
///
/// If a schedule fails, or does not end although the clock stands still; and if all is not well in more than
/// one of [`MOSTLY`].
pub(crate) fn for_each_seed(test: &str, first: u64, many: u64, check: fn(u64) -> bool) {
    let first = given("SCHEDULES_SEED").unwrap_or(first);
    let many = given("SCHEDULES").unwrap_or(many);
    let (ended, ends) = channel();
    let worker = thread::spawn(move || {
        for seed in (0..many).map(|n| first.wrapping_add(n)) {
            if ended.send(check(seed)).is_err() {
                break;
            }
        }
    });
    let mut unwell = Vec::new();
    for seed in (0..many).map(|n| first.wrapping_add(n)) {
        let failed = match ends.recv_timeout(PATIENCE) {
            Ok(true) => continue,
            Ok(false) => {
                unwell.push(seed);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => "spins",
            Err(RecvTimeoutError::Disconnected) => "fails",
        };
        panic!(
            "schedule {seed} {failed}; alone: SCHEDULES_SEED={seed} SCHEDULES=1 \
             cargo test --test schedules {test}"
        );
    }
    worker.join().expect("each schedule ended");
    assert!(
        unwell.len() as u64 <= many / MOSTLY,
        "not well: schedules {unwell:?}"
    );
}

const MOSTLY: u64 = 30;

fn given<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}
