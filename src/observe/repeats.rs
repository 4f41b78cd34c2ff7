#[cfg(feature = "tracing")]
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

#[cfg(feature = "tracing")]
use tokio::time::Instant;
#[cfg(feature = "tracing")]
use tracing::Level;

#[cfg(feature = "tracing")]
use crate::clock;

/// The instants of the last events of each kind. An outage has the same event for each of its requests, and only the
/// first is logged above DEBUG. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repeats(#[cfg(feature = "tracing")] Arc<Mutex<Vec<(&'static str, Instant)>>>);

#[cfg(feature = "tracing")]
impl Repeats {
    /// The level of an event: DEBUG if the last event of its kind is less than a minute old, else `first`.
    pub(super) fn level(&self, kind: &'static str, first: Level) -> Level {
        match first == Level::DEBUG || self.repeats(kind) {
            true => Level::DEBUG,
            false => first,
        }
    }

    fn repeats(&self, kind: &'static str) -> bool {
        let now = clock::now();
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, last)) = events.iter_mut().find(|(known, _)| *known == kind) else {
            events.push((kind, now));
            return false;
        };
        now.saturating_duration_since(std::mem::replace(last, now)) < QUIET
    }
}

/// Longer than any pause or backoff in an outage, so that one outage is logged once.
#[cfg(feature = "tracing")]
const QUIET: Duration = Duration::from_secs(60);
