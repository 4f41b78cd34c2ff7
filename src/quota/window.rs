use std::collections::VecDeque;

use crate::words::{Instant, Quota, Weight};

/// An exact sliding window of departures and their instants. It uses more memory than a pace, and allows
/// bursts.
///
/// The limit is never exceeded: the weights of the last `per + margin` never sum to more than `max`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    departures: VecDeque<(Instant, u64)>,
    used: u64,
    /// The instant at which a departure last left the window.
    freed: Instant,
}

impl Window {
    /// The earliest instant at which `weight` fits.
    pub(crate) fn next(&mut self, quota: &Quota, weight: Weight, now: Instant) -> Instant {
        self.forget(quota, now);
        let fits = |used: u64| used.saturating_add(weight.0) <= quota.max();
        let mut used = self.used;
        if fits(used) {
            return Instant::START;
        }
        for (at, freed) in &self.departures {
            used = used.saturating_sub(*freed);
            if fits(used) {
                return *at + quota.window();
            }
        }
        // The requests ahead fill more than one window. Each full window ahead takes at least one window.
        now + quota.window() * (weight.0 - quota.max()).div_ceil(quota.max())
    }

    /// A window that holds these departures, each with its instant and weight, in order.
    pub(crate) fn of(departures: impl Iterator<Item = (Instant, u64)>) -> Self {
        let departures: VecDeque<_> = departures.collect();
        Self {
            used: sum(departures.iter()),
            departures,
            freed: Instant::START,
        }
    }

    /// The departures in the window, each with its instant and weight, in order.
    pub(crate) fn departures(&mut self) -> &[(Instant, u64)] {
        self.departures.make_contiguous()
    }

    /// The weight that can be charged now so that `weight` still fits at `at`.
    pub(crate) fn room(&self, quota: &Quota, weight: Weight, at: Instant, now: Instant) -> u64 {
        if now + quota.window() <= at {
            return u64::MAX;
        }
        let gone = |(departed, _): &&(Instant, u64)| *departed + quota.window() <= at;
        let freed = self.departures.iter().take_while(gone);
        let used = self.used.saturating_sub(sum(freed));
        quota.max().saturating_sub(used.saturating_add(weight.0))
    }

    pub(crate) fn charge(&mut self, quota: &Quota, weight: Weight, now: Instant) {
        self.forget(quota, now);
        match self.departures.back_mut() {
            Some((at, used)) if *at == now => *used = used.saturating_add(weight.0),
            _ => self.departures.push_back((now, weight.0)),
        }
        self.used = self.used.saturating_add(weight.0);
    }

    /// The instant since which there has been as much room as there is now.
    pub(crate) fn ready(&self) -> Instant {
        self.freed
    }

    pub(crate) fn fresh_at(&self, quota: &Quota) -> Instant {
        self.departures
            .back()
            .map_or(Instant::START, |(at, _)| *at + quota.window())
    }

    pub(crate) fn remaining(&mut self, quota: &Quota, now: Instant) -> u64 {
        self.forget(quota, now);
        quota.max().saturating_sub(self.used)
    }

    /// Settles what was charged at an instant: `extra` is added to the weight, and may be negative.
    pub(crate) fn settle(&mut self, at: Instant, extra: i64) {
        let found = self.departures.binary_search_by_key(&at, |(at, _)| *at);
        let index = found.unwrap_or_else(|index| {
            // A departure that was charged nothing has no entry yet. If it has left the window already, the
            // next look removes the entry again.
            self.departures.insert(index, (at, 0));
            index
        });
        let (_, weight) = &mut self.departures[index];
        let settled = weight.saturating_add_signed(extra);
        self.used = self.used.saturating_sub(*weight).saturating_add(settled);
        *weight = settled;
    }

    fn forget(&mut self, quota: &Quota, now: Instant) {
        while let Some((at, weight)) = self.departures.front() {
            if *at + quota.window() > now {
                break;
            }
            self.used = self.used.saturating_sub(*weight);
            self.freed = *at + quota.window();
            self.departures.pop_front();
        }
    }
}

/// The sum of these weights, saturated if a server states absurd costs.
fn sum<'a>(departures: impl Iterator<Item = &'a (Instant, u64)>) -> u64 {
    departures.fold(0, |sum, (_, weight)| sum.saturating_add(*weight))
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
