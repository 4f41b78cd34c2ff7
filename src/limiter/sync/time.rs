//! Time under the model checker. It stands still until the test moves it.

use std::cell::Cell;

use tokio::time;

use crate::words::Instant;

thread_local!(pub(in crate::limiter) static NOW: Cell<Instant> = const { Cell::new(Instant::START) });

/// Shuttle runs all its threads on one thread of the system.
pub(in crate::limiter) fn now() -> time::Instant {
    thread_local!(static ORIGIN: time::Instant = real());
    ORIGIN.with(|origin| *origin + (NOW.get() - Instant::START).as_duration())
}

#[expect(clippy::disallowed_methods, reason = "where virtual time starts")]
fn real() -> time::Instant {
    time::Instant::now()
}
