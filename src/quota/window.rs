use super::departures::Departures;
use crate::words::{Instant, Quota, Settled, Weight};

/// An exact sliding window of departures and their instants. It uses more memory than a pace, and allows
/// bursts.
///
/// The limit is never exceeded: the weights of the last `per + margin` never sum to more than `max`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    departures: Departures,
    /// The instant at which a departure last left the window.
    freed: Instant,
}

impl Window {
    /// The earliest instant at which `weight` fits.
    pub(crate) fn next(&mut self, quota: &Quota, weight: Weight, now: Instant) -> Instant {
        self.forget(quota, now);
        let used = self.departures.sum().saturating_add(weight.0);
        if used <= quota.max() {
            return Instant::START;
        }
        if let Some(at) = self.departures.reach(used - quota.max()) {
            return at + quota.window();
        }
        // The requests ahead fill more than one window. Each full window ahead takes at least one window.
        now + quota.window() * (weight.0 - quota.max()).div_ceil(quota.max())
    }

    /// A window that holds these departures, each with its instant and weight, in order.
    pub(crate) fn of(departures: impl Iterator<Item = (Instant, u64)>) -> Self {
        let mut window = Self::default();
        for (at, weight) in departures {
            window
                .departures
                .settle(at, Settled::charge(Weight(weight)));
        }
        window
    }

    /// The departures in the window, each with its instant and weight, in order.
    pub(crate) fn departures(&self) -> Vec<(Instant, u64)> {
        self.departures.to_vec()
    }

    /// The weight that can be charged now so that `weight` still fits at `at`.
    pub(crate) fn room(&self, quota: &Quota, weight: Weight, at: Instant, now: Instant) -> u64 {
        if now + quota.window() <= at {
            return u64::MAX;
        }
        let used = match left(quota, at) {
            Some(left) => self.departures.sum_after(left),
            None => self.departures.sum(),
        };
        quota.max().saturating_sub(used.saturating_add(weight.0))
    }

    pub(crate) fn charge(&mut self, quota: &Quota, weight: Weight, now: Instant) {
        self.forget(quota, now);
        self.departures.settle(now, Settled::charge(weight));
    }

    /// The instant since which there has been as much room as there is now.
    pub(crate) fn ready(&self) -> Instant {
        self.freed
    }

    pub(crate) fn fresh_at(&self, quota: &Quota) -> Instant {
        let last = self.departures.last();
        last.map_or(Instant::START, |at| at + quota.window())
    }

    pub(crate) fn remaining(&mut self, quota: &Quota, now: Instant) -> u64 {
        self.forget(quota, now);
        quota.max().saturating_sub(self.departures.sum())
    }

    /// Settles what was charged at an instant. If that has left the window already, the next look forgets it
    /// again.
    pub(crate) fn settle(&mut self, at: Instant, settled: Settled) {
        self.departures.settle(at, settled);
    }

    fn forget(&mut self, quota: &Quota, now: Instant) {
        let left = left(quota, now);
        if let Some(last) = left.and_then(|left| self.departures.forget(left)) {
            self.freed = last + quota.window();
        }
    }
}

/// The latest instant that has left the window.
fn left(quota: &Quota, now: Instant) -> Option<Instant> {
    (Instant::START + quota.window() <= now).then(|| now - quota.window())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{quota::at, words::Amount};

    #[test]
    fn a_burst_then_exactly_the_window() {
        let quota = Quota::per_minute(3).unwrap().unpaced();
        let mut window = Window::default();
        for now in [10, 20, 30].map(at) {
            assert!(window.next(&quota, Weight(1), now) <= now);
            window.charge(&quota, Weight(1), now);
        }
        assert_eq!(
            window.next(&quota, Weight(1), at(40)),
            at(10) + quota.window()
        );
        assert_eq!(
            window.next(&quota, Weight(2), at(40)),
            at(20) + quota.window()
        );
        assert_eq!(window.remaining(&quota, at(20) + quota.window()), 2);
    }

    #[test]
    fn each_full_window_ahead_is_a_window_of_waiting() {
        let quota = Quota::per_minute(3).unwrap().unpaced();
        let windows = |ahead, weight| {
            let next = Window::default().next(&quota, Weight(weight) + Amount(ahead), at(10));
            (next - at(10)) / quota.window()
        };
        let ahead = [0, 2, 3, 5, 6, 9].map(|ahead| windows(ahead, 1));
        assert_eq!(ahead, [0, 0, 1, 1, 2, 3]);
        assert_eq!(windows(3, 3), 1);
    }

    /// Regression: a sum overflowed.
    #[test]
    fn absurd_costs_are_sums_like_others() {
        let quota = Quota::per_minute(3).unwrap().unpaced();
        let absurd = [0, 1].map(|second| (at(second), u64::MAX));
        let window = Window::of(absurd.into_iter());
        let all_gone = at(1) + quota.window();
        assert_eq!(window.room(&quota, Weight(1), all_gone, at(2)), 2);
    }
}
