//! Runtimes in which time passes only while all tasks are idle.

use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};

/// A runtime of one thread with a paused clock.
pub fn virtual_time() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

/// The current instant of this runtime.
#[expect(clippy::disallowed_methods, reason = "virtual time")]
pub fn now() -> Instant {
    Instant::now()
}
