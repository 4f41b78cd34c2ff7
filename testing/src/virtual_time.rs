//! Runtimes in which time passes only when there is nothing else to do.

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

/// The instant of the runtime that runs this.
#[expect(clippy::disallowed_methods, reason = "virtual time")]
pub fn now() -> Instant {
    Instant::now()
}
