//! Instants as the limiter counts them.

use tokio::time;

use super::sync::now;
use crate::words::Instant;

/// Converts between Tokio's instants and those counted since the limiter was made.
#[derive(Debug)]
pub(super) struct Clock {
    origin: time::Instant,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { origin: now() }
    }

    pub(super) fn now(&self) -> Instant {
        self.since_origin(now())
    }

    #[cfg(not(all(test, shuttle)))]
    pub(super) fn instant_now(&self) -> time::Instant {
        now()
    }

    /// The time since the origin. An earlier instant is [`Instant::START`].
    pub(super) fn since_origin(&self, instant: time::Instant) -> Instant {
        Instant::START + instant.saturating_duration_since(self.origin).into()
    }

    /// The instant of the clock; `None` for [`Instant::NEVER`].
    pub(super) fn instant(&self, at: Instant) -> Option<time::Instant> {
        if at == Instant::NEVER {
            return None;
        }
        self.origin.checked_add((at - Instant::START).as_duration())
    }
}
