//! The one place where the clock is read.

use std::time::SystemTime;

use tokio::time::Instant;

/// Tokio's clock, so that every test runs in virtual time.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time of day, for dates in headers that come without the server's own date. It may jump, so it times
/// nothing else.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn time_of_day() -> SystemTime {
    SystemTime::now()
}
