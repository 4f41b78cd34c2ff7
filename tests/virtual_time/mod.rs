//! Runtimes in which time passes only when there is nothing else to do.

use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};

pub(crate) fn virtual_time() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

#[expect(clippy::disallowed_methods, reason = "virtual time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
