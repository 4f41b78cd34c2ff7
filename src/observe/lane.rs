use std::{sync::Arc, time::Duration};

#[cfg(feature = "tracing")]
use super::{JOBS, LIMITER, millis};
use crate::words::{Endpoint, Unit};

/// Changes of lanes, found under the limiter's lock. They are logged once it is released.
#[derive(Debug, Default)]
pub(crate) struct LaneEvents(#[cfg(feature = "tracing")] Vec<(Endpoint, Option<Arc<str>>, Change)>);

#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "for events"))]
pub(crate) enum Change {
    /// The server asked for a pause.
    Paused(Duration),
    /// The learned pace is another one, in requests or tokens per second.
    Pace(Unit, f64),
    /// The server says that too many jobs run.
    TooManyJobs,
    /// A request waits for a job to end.
    AwaitsJob { is_watched: bool },
}

impl LaneEvents {
    /// Whether there is a subscriber for them.
    pub(crate) fn are_heard(&self) -> bool {
        #[cfg(feature = "tracing")]
        return is_heard();
        #[cfg(not(feature = "tracing"))]
        false
    }

    pub(crate) fn add(&mut self, endpoint: Endpoint, model: Option<&Arc<str>>, change: Change) {
        #[cfg(feature = "tracing")]
        if is_heard() {
            self.0.push((endpoint, model.cloned(), change));
        }
        let _ = (endpoint, model, change);
    }

    pub(crate) fn log(self) {
        #[cfg(feature = "tracing")]
        for (endpoint, model, change) in self.0 {
            log(endpoint.name(), model.as_deref(), change);
        }
    }
}

#[cfg(feature = "tracing")]
fn log(endpoint: &'static str, model: Option<&str>, change: Change) {
    match change {
        Change::Paused(wait) => {
            let wait_ms = millis(wait);
            tracing::info!(target: LIMITER, endpoint, model, wait_ms, "lane paused");
        }
        Change::Pace(unit, per_second) => {
            let unit = match unit {
                Unit::Requests => "requests",
                Unit::Tokens => "tokens",
            };
            let per_second = (per_second * 1_000.0).round() / 1_000.0;
            tracing::info!(target: LIMITER, endpoint, model, unit, per_second, "lane pace changed");
        }
        Change::TooManyJobs => {
            tracing::info!(target: JOBS, endpoint, model, "too many jobs run");
        }
        Change::AwaitsJob { is_watched } => {
            tracing::info!(target: JOBS, endpoint, model, is_watched, "lane waits for a job to end");
        }
    }
}

/// An event that is logged once.
#[derive(Debug, Default)]
pub(crate) struct Once(#[cfg(feature = "tracing")] bool);

impl Once {
    /// Returns true once. Without the feature it returns false, since nothing is to be logged.
    pub(crate) fn is_first(&mut self) -> bool {
        #[cfg(feature = "tracing")]
        return !std::mem::replace(&mut self.0, true);
        #[cfg(not(feature = "tracing"))]
        false
    }
}

/// Whether there is a subscriber.
#[cfg(feature = "tracing")]
pub(super) fn is_heard() -> bool {
    use tracing::level_filters::LevelFilter;

    LevelFilter::current() != LevelFilter::OFF
}
