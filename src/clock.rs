//! The one place where the clock is read.

use std::time::SystemTime;

use tokio::time::Instant;

/// Tokio's clock, so that every test runs in virtual time.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time of day at an instant that has passed: of the instant from which a wait until a date counts. It is never later
/// than it was, so that nothing departs before the date.
pub(crate) fn time_of_day_at(instant: Instant) -> SystemTime {
    let time = time_of_day();
    let since = now().saturating_duration_since(instant);
    time.checked_sub(since).unwrap_or(time)
}

/// The time of day, for dates in headers that come without the server's own date. It may jump, so it times
/// nothing else.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn time_of_day() -> SystemTime {
    SystemTime::now()
}
