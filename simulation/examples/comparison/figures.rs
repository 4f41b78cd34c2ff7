//! The figures of a run, and their medians.

use std::time::Duration;

use simulation::tally::{Tally, total};

use crate::servers::{Server, Work, arrival};

/// The outcome of a call.
#[derive(Clone, Copy)]
pub(crate) struct Ended {
    /// The time since the run began.
    pub(crate) at: Duration,
    /// The wait before the attempt that succeeded, if one did.
    pub(crate) wait: Option<Duration>,
}

/// The figures of one client with one server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    /// The share used of what the server allowed until it accepted the last request, in percent. `None` for bursts,
    /// between which the quota is idle.
    pub(crate) used: Option<f64>,
    /// The number of 429s.
    pub(crate) rejected: f64,
    /// The share of requests that got a 429, in percent.
    pub(crate) rejected_share: f64,
    /// The number of calls that did not succeed.
    pub(crate) failed: f64,
    /// The time until the last call had ended, as a multiple of an ideal client's.
    pub(crate) makespan: f64,
    /// The wait of a call before the attempt that succeeded: the 99th percentile, in seconds.
    pub(crate) wait: f64,
}

impl Figures {
    /// The figures of a run. `ideal` has the ideal client's time for each batch of calls.
    pub(crate) fn of(server: &Server, tally: &Tally, ended: &[Ended], ideal: &[Duration]) -> Self {
        let mut waits: Vec<_> = ended.iter().filter_map(|ended| ended.wait).collect();
        waits.sort_unstable();
        let batches = ended.chunks(ended.len() / ideal.len()).enumerate();
        let times = batches.map(|(batch, calls)| {
            let last = calls.iter().map(|ended| ended.at).max();
            last.expect("a batch has calls") - arrival(batch)
        });
        let (time, ideal): (Duration, Duration) = (times.sum(), ideal.iter().sum());
        let rejected = f64::from(total(&tally.rejected));
        let wait = waits.get(waits.len() * 99 / 100);
        Self {
            used: used(server, tally),
            rejected,
            rejected_share: 100.0 * rejected / (rejected + f64::from(total(&tally.accepted))),
            failed: (ended.len() - waits.len()) as f64,
            makespan: time.as_secs_f64() / ideal.as_secs_f64(),
            wait: wait.map_or(0.0, Duration::as_secs_f64),
        }
    }

    /// The median of each figure.
    pub(crate) fn medians(runs: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(runs.iter().map(figure).collect());
        Self {
            used: runs[0].used.map(|_| of(|run| run.used.unwrap_or_default())),
            rejected: of(|run| run.rejected),
            rejected_share: of(|run| run.rejected_share),
            failed: of(|run| run.failed),
            makespan: of(|run| run.makespan),
            wait: of(|run| run.wait),
        }
    }

    /// The use by which clients are compared: for bursts, the ideal's time as a share of the client's, in percent.
    pub(crate) fn use_or_haste(&self) -> f64 {
        self.used.unwrap_or(100.0 / self.makespan)
    }

    /// Whether no call failed and at most 1 % of requests got a 429.
    pub(crate) fn is_clean(&self) -> bool {
        self.failed == 0.0 && self.rejected_share <= 1.0
    }
}

/// The share of the quota used until the last accepted request, in percent: of tokens, if the server counts them.
fn used(server: &Server, tally: &Tally) -> Option<f64> {
    if let Work::Bursts(_) = server.work {
        return None;
    }
    let (whole, part) = (tally.last.as_secs() as usize, tally.last.subsec_nanos());
    let allowed: f64 = tally.allowed[..whole].iter().sum();
    // The last second's limit is not recorded yet, if the run ended in its first half.
    let limit = tally.allowed[whole.saturating_sub(1)];
    let allowed = allowed + limit * f64::from(part) / 1e9;
    let share = match server.rules.tokens {
        None => f64::from(total(&tally.accepted)) / allowed,
        Some(per_minute) => tally.tokens as f64 / (per_minute / 60.0 * tally.last.as_secs_f64()),
    };
    Some(100.0 * share)
}

/// The median; of an even number, the lower one of the two in the middle.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[(figures.len() - 1) / 2]
}
