//! Limits that several processes share through a ledger.
//!
//! A lane of a shared key departs at instants that the ledger has granted it: its *lease*. A lease is one more
//! constraint of the lane, and stands for all of its limits on requests and tokens. No request awaits the
//! ledger. When a lane has requests and too few instants, its key sends an [`Errand`], and the reply goes into
//! the lanes under the limiter's lock.
//!
//! While the ledger does not reply, a key grants itself its part of the limits, as the ledger itself would.

mod errand;
mod key;
mod lane;
mod seam;
mod state;
#[cfg(all(test, not(shuttle)))]
mod tests;

use std::time::Duration;

pub(crate) use self::{
    errand::Errand,
    seam::{Seam, Start, Unreached},
};
pub(super) use self::{
    key::KeyShare,
    lane::{LaneShare, LimitShare},
    seam::Dispatch,
};
use crate::words::{Instant, Span};

/// How a limiter shares its limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The number of processes that a process expects at least.
    pub(crate) least_processes: u64,
    /// The time for which the part of a silent process is set aside.
    pub(crate) memory: Duration,
    /// Whether requests are rejected while the ledger does not reply.
    pub(crate) closed: bool,
}

/// The part of the sharing that all keys have in common.
#[derive(Debug)]
pub(super) struct Sharing {
    /// This process, among those that share.
    pub(super) process: u64,
    pub(super) terms: Terms,
    pub(super) away: Option<Away>,
    /// No call is sent before this instant.
    pub(super) retry_at: Instant,
    /// The number of failed calls in a row.
    failures: u32,
    pub(super) outbox: seam::Outbox,
}

/// The ledger does not reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    pub(super) since: Instant,
    pub(super) why: Unreached,
}

impl Sharing {
    pub(super) fn new(terms: Terms, seam: Seam, start: Start) -> Self {
        Self {
            process: fastrand::u64(..),
            terms,
            away: None,
            retry_at: Instant::START,
            failures: 0,
            outbox: seam::Outbox::new(seam, start),
        }
    }

    /// The ledger has replied. Returns whether it was away.
    pub(super) fn is_back(&mut self) -> bool {
        (self.failures, self.retry_at) = (0, Instant::START);
        self.away.take().is_some()
    }

    /// The ledger has not replied. Returns whether this is news.
    pub(super) fn goes_away(&mut self, why: Unreached, now: Instant) -> bool {
        let is_news = self.away.is_none();
        self.away.get_or_insert(Away { since: now, why }).why = why;
        is_news
    }

    /// A call has failed: the next one waits.
    pub(super) fn failed(&mut self, why: Unreached, now: Instant) {
        let wait = match why {
            Unreached::Misconfigured(_) => SLOW_RETRY,
            _ => FIRST_RETRY * (1 << self.failures.min(3)),
        };
        self.failures = self.failures.saturating_add(1);
        let jitter = Span::nanos(fastrand::u64(..=wait.as_nanos() / 4));
        self.retry_at = now + wait.min(LAST_RETRY.max(SLOW_RETRY)) - jitter;
    }
}

const FIRST_RETRY: Span = Span::millis(100);
const LAST_RETRY: Span = Span::millis(500);
/// The user has to change something first.
const SLOW_RETRY: Span = Span::secs(10);
