//! Limits that several processes share through a ledger.
//!
//! A lane of a shared key departs at instants that the ledger has granted it: its *lease*. A lease is one more
//! constraint of the lane, and stands for all of its limits on requests and tokens. No request awaits the
//! ledger. When a lane has requests and too few instants, its key sends an [`Errand`], and the reply goes into
//! the lanes under the limiter's lock.
//!
//! While the ledger does not reply, a key grants itself its part of the limits, as the ledger itself would.

mod alone;
mod ask;
mod errand;
mod key;
mod lane;
mod outbox;
mod parts;
mod reply;
mod report;
mod seam;
mod state;
#[cfg(all(test, not(shuttle)))]
mod tests;

use std::time::Duration;

use self::outbox::{Outbox, Start};
pub(crate) use self::{errand::Errand, outbox::Unreached, seam::Seam};
pub(super) use self::{lane::LaneShare, outbox::Dispatch, parts::KeyShare};
use crate::words::{Instant, Span};

/// How a limiter shares its limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The number of processes that a process expects at least.
    pub(crate) least_processes: Option<u64>,
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
    /// Events to log once the lock is released.
    news: Vec<News>,
    /// Whether the warning of limits that are not shared has been logged.
    warned: bool,
    outbox: Outbox,
}

/// The ledger does not reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    pub(super) since: Instant,
    pub(super) why: Unreached,
}

/// An event to log.
#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    Away(Unreached, bool),
    Back(u64),
    /// Some limits are not shared.
    Unshared,
}

impl Sharing {
    fn new(terms: Terms, start: Start) -> Self {
        Self {
            // It takes few bytes in Redis.
            process: fastrand::u32(..).into(),
            terms,
            away: None,
            retry_at: Instant::START,
            failures: 0,
            news: Vec::new(),
            warned: false,
            outbox: Outbox::new(start),
        }
    }

    /// The ledger has replied, and knows `processes` processes.
    pub(super) fn is_back(&mut self, processes: u64) {
        (self.failures, self.retry_at) = (0, Instant::START);
        if self.away.take().is_some() {
            self.news.push(News::Back(processes));
        }
    }

    /// The ledger has not replied.
    pub(super) fn goes_away(&mut self, why: Unreached, now: Instant) {
        let before = self.away;
        self.away.get_or_insert(Away { since: now, why }).why = why;
        let is_worse =
            matches!(why, Unreached::Misconfigured(_)) && before.map(|away| away.why) != Some(why);
        if before.is_none() || is_worse {
            self.news.push(News::Away(why, self.terms.closed));
        }
    }

    /// Some limits of the table are not shared. This is logged once.
    pub(super) fn leaves_out(&mut self) {
        if !std::mem::replace(&mut self.warned, true) {
            self.news.push(News::Unshared);
        }
    }

    /// A call has failed. Delays the next one.
    pub(super) fn failed(&mut self, why: Unreached, now: Instant) {
        let wait = match why {
            Unreached::Misconfigured(_) => SLOW_RETRY,
            _ => (FIRST_RETRY * (1 << self.failures.min(3))).min(LAST_RETRY),
        };
        self.failures = self.failures.saturating_add(1);
        let jitter = Span::nanos(fastrand::u64(..=wait.as_nanos() / 4));
        self.retry_at = now + wait - jitter;
    }
}

const FIRST_RETRY: Span = Span::millis(100);
/// All processes are back within this time, and the ledger sets their parts aside until then.
const LAST_RETRY: Span = Span::millis(200);
/// The user has to change something first.
const SLOW_RETRY: Span = Span::secs(10);
