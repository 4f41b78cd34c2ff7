//! Outages of the API: since when it has not responded, and with which error.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use http::StatusCode;
use serde::Serialize;

/// The failures since the last success.
#[derive(Default)]
pub(crate) struct Outage(Mutex<Option<Failing>>);

/// Consecutive failed attempts.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failing {
    /// When the first one failed, in milliseconds since 1970.
    pub(crate) since: u64,
    pub(crate) failures: u64,
    /// The latest error.
    pub(crate) error: String,
}

impl Outage {
    /// Counts a failed attempt. Returns the outage if it begins with this failure.
    pub(crate) fn failed(&self, error: String) -> Option<Failing> {
        let mut failing = self.lock();
        let failing = failing.get_or_insert_with(|| Failing {
            since: now(),
            failures: 0,
            error: String::new(),
        });
        failing.failures += 1;
        failing.error = error;
        (failing.failures == IN_A_ROW).then(|| failing.clone())
    }

    /// Reports a response of the API. Returns the outage that ends with it.
    pub(crate) fn responded(&self) -> Option<Failing> {
        self.lock().take().filter(Failing::is_outage)
    }

    /// The current outage, if there is one.
    pub(crate) fn now(&self) -> Option<Failing> {
        self.lock().clone().filter(Failing::is_outage)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Failing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failing {
    fn is_outage(&self) -> bool {
        self.failures >= IN_A_ROW
    }

    pub(crate) fn seconds(&self) -> f64 {
        now().saturating_sub(self.since) as f64 / 1e3
    }
}

/// Whether a response shows that the API works for this key. A 429 shows neither, and gives `None`.
pub(crate) fn works(status: StatusCode) -> Option<bool> {
    match status {
        StatusCode::TOO_MANY_REQUESTS => None,
        StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::REQUEST_TIMEOUT => {
            Some(false)
        }
        _ => Some(!status.is_server_error()),
    }
}

#[expect(clippy::disallowed_methods, reason = "people read it in real time")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// Consecutive failures that make an outage: a single failure is no sign of one.
const IN_A_ROW: u64 = 3;
