//! Instants as the limiter counts them.

use std::time::Duration;

use tokio::time::Instant;

/// Nanoseconds since the limiter was made: 64 bits of them last 584 years.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { origin: now() }
    }

    pub(super) fn now(&self) -> u64 {
        self.nanos(now())
    }

    #[cfg(not(all(test, shuttle)))]
    pub(super) fn instant_now(&self) -> Instant {
        now()
    }

    /// An instant before the origin is 0.
    pub(super) fn nanos(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.origin))
    }

    /// `None` for [`NEVER`].
    pub(super) fn instant(&self, nanos: u64) -> Option<Instant> {
        if nanos == NEVER {
            return None;
        }
        self.origin.checked_add(Duration::from_nanos(nanos))
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

/// An instant that does not come.
pub(super) const NEVER: u64 = u64::MAX;

#[cfg(not(all(test, shuttle)))]
use crate::clock::now;

#[cfg(all(test, shuttle))]
use super::model::now;
