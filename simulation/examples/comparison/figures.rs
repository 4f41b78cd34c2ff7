//! The figures of a run, and their medians.

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

/// The median; of an even number, the lower one of the two in the middle.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[(figures.len() - 1) / 2]
}
