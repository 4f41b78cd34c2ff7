//! The requests that were sent, and those that arrived.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;
use tokio::time::Instant;

/// The requests that arrived at a server.
pub(crate) struct Traffic {
    /// All requests.
    pub(crate) requests: u64,
    /// Those rejected with a 429.
    pub(crate) rejected: u64,
    /// When each arrived, and whether it was accepted.
    pub(crate) arrivals: Vec<(Duration, bool)>,
}

impl Traffic {
    /// The share of the quota that was used in this time from the start, or in the run if that was
    /// shorter; `allowed` says how many requests the quota is from one time to another.
    ///
    /// The window opens with the first arrival and does not count it: of requests exactly as far
    /// apart as the quota says, as many fit as the quota allows. A run of less than a second is
    /// taken for a second, since what a server lets through at once is a second's worth.
    pub(crate) fn quota_used(
        &self,
        longest: Duration,
        allowed: impl Fn(Duration, Duration) -> f64,
    ) -> f64 {
        let (Some(first), Some(last)) = (self.arrivals.first(), self.arrivals.last()) else {
            return 0.0;
        };
        let window = last
            .0
            .saturating_sub(first.0)
            .clamp(Duration::from_secs(1), longest);
        let end = first.0 + window;
        let used = self.arrivals[1..]
            .iter()
            .filter(|(at, accepted)| *accepted && *at <= end);
        used.count() as f64 / allowed(first.0, end)
    }
}

/// When each request was sent, beneath the layer, and the status of its response.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    since: Instant,
    sent: Arc<Mutex<Vec<Sent>>>,
}

/// When a request was sent, and the status of its response.
type Sent = (Duration, Option<StatusCode>);

impl Log {
    #[expect(clippy::disallowed_methods, reason = "a program measures real time")]
    pub(crate) fn new() -> Self {
        Self {
            since: Instant::now(),
            sent: Arc::default(),
        }
    }

    /// Notes that a request is sent now, and returns its number.
    pub(crate) fn sent(&self) -> usize {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push((self.since.elapsed(), None));
        sent.len() - 1
    }

    /// Notes its response.
    pub(crate) fn responded(&self, number: usize, status: StatusCode) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent[number].1 = Some(status);
    }

    /// The traffic as this program counted it.
    pub(crate) fn traffic(&self) -> Traffic {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let rejected = |(_, status): &&Sent| *status == Some(StatusCode::TOO_MANY_REQUESTS);
        let accepted = |status: Option<StatusCode>| status.is_some_and(|code| code.is_success());
        Traffic {
            requests: sent.len() as u64,
            rejected: sent.iter().filter(rejected).count() as u64,
            arrivals: sent
                .iter()
                .map(|(at, code)| (*at, accepted(*code)))
                .collect(),
        }
    }
}
