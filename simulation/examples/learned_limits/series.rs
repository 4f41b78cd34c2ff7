//! Curves of the counts per second. All rates are per minute.

use simulation::tally::Tally;

/// The curves of one run, as points at equal distances in time.
pub(crate) struct Series {
    pub(crate) allowed: Vec<f64>,
    /// The mean around each point.
    pub(crate) sent: Vec<f64>,
    /// The number between each point and the next.
    pub(crate) rejected: Vec<f64>,
}

impl Series {
    pub(crate) fn of(tally: &Tally, points: usize) -> Self {
        let seconds = tally.sent.len();
        let step = seconds / points;
        let window = step.max(WINDOW);
        let starts = || (0..seconds).step_by(step);
        Self {
            allowed: starts().map(|at| 60.0 * tally.allowed[at]).collect(),
            sent: starts()
                .map(|at| per_minute(&tally.sent, at.saturating_sub(window / 2), at + window / 2))
                .collect(),
            rejected: starts()
                .map(|at| per_minute(&tally.rejected, at, at + step))
                .collect(),
        }
    }
}

fn per_minute(counts: &[u32], from: usize, to: usize) -> f64 {
    let counts = &counts[from..to.min(counts.len())];
    60.0 * f64::from(counts.iter().sum::<u32>()) / counts.len() as f64
}

/// The window of the mean, in seconds.
const WINDOW: usize = 10;
