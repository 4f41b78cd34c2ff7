//! Every tracing event of the crate. Without the feature `tracing` each function does nothing.
//!
//! `docs/logs.md` has the table of them. `tests/logs` compares it with what is logged.

/// An event whose level is known at run time.
#[cfg(feature = "tracing")]
macro_rules! log {
    ($level:expr, $($event:tt)*) => {
        match $level {
            tracing::Level::ERROR => tracing::error!($($event)*),
            tracing::Level::WARN => tracing::warn!($($event)*),
            _ => tracing::debug!($($event)*),
        }
    };
}

mod lane;
mod mistakes;
#[cfg(feature = "redis")]
mod redis;
mod repeats;
mod traced;

#[cfg(feature = "tracing")]
use std::time::Duration;

#[cfg(feature = "tracing")]
use tracing::Level;

#[cfg(feature = "redis")]
pub(crate) use self::redis::{redis_away, redis_back, unshared};
use crate::words::{Endpoint, extension::PassedOver};

pub(crate) use self::{
    lane::{Change, LaneEvents, Once},
    mistakes::{
        another_limiter, around_server, beneath_limiter, left_alone, mixed_keys, unlimited,
    },
    repeats::Repeats,
    traced::Traced,
};

/// A request goes to the next model of its chain.
pub(crate) fn fell_back(
    (endpoint, attempt): (Endpoint, u32),
    [model, next_model]: [&str; 2],
    reason: PassedOver,
    repeats: &Repeats,
) {
    #[cfg(feature = "tracing")]
    log!(
        repeats.level("fell back", Level::WARN),
        target: FALLBACK,
        endpoint = endpoint.name(),
        model,
        attempt,
        next_model,
        reason = %reason,
        "request sent to the next model"
    );
    let _ = (endpoint, attempt, model, next_model, reason, repeats);
}

/// The state of jobs could not be read. It is requested again later.
pub(crate) fn jobs_unread(reason: &'static str, repeats: &Repeats) {
    #[cfg(feature = "tracing")]
    log!(
        repeats.level(reason, Level::WARN),
        target: JOBS,
        reason,
        "running jobs not read"
    );
    let _ = (reason, repeats);
}

#[cfg(feature = "tracing")]
fn millis(wait: Duration) -> u64 {
    // To the nearest: a wait of 1 s may have begun some microseconds ago.
    u64::try_from((wait.as_micros() + 500) / 1_000).unwrap_or(u64::MAX)
}

/// The targets are names for users to filter by, and stay as they are wherever the code moves.
#[cfg(feature = "tracing")]
const RATE_LIMIT: &str = "tower_together::rate_limit";
#[cfg(feature = "tracing")]
const RETRY: &str = "tower_together::retry";
#[cfg(feature = "tracing")]
const FALLBACK: &str = "tower_together::fallback";
#[cfg(feature = "tracing")]
const LIMITER: &str = "tower_together::limiter";
#[cfg(feature = "tracing")]
const JOBS: &str = "tower_together::jobs";
