use crate::words::{Instant, Settled, Span, Weight};

/// The requests, or their tokens, that departed in each of the last 64 seconds and were not rejected.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    counts: [u32; LENGTH],
    /// The second of the newest count.
    newest: u64,
    /// The second of the first count ever.
    oldest: u64,
}

impl Default for Sent {
    fn default() -> Self {
        Self {
            counts: [0; LENGTH],
            newest: 0,
            oldest: u64::MAX,
        }
    }
}

impl Sent {
    pub(crate) fn add(&mut self, weight: Weight, at: Instant) {
        let second = at / Span::SECOND;
        self.forget(second);
        self.oldest = self.oldest.min(second);
        self.settle(at, Settled::charge(weight));
    }

    /// Settles what a request that departed at `at` was charged. A rejected request is settled to nothing.
    pub(crate) fn settle(&mut self, at: Instant, Settled { from, to }: Settled) {
        let second = at / Span::SECOND;
        if second <= self.newest && self.newest - second < LENGTH as u64 {
            let count = &mut self.counts[index(second)];
            let settled = u64::from(*count)
                .saturating_sub(from.0)
                .saturating_add(to.0);
            *count = u32::try_from(settled).unwrap_or(u32::MAX);
        }
    }

    /// The rate per second that the server took, counting the time that it asks to wait: the highest of the
    /// rates over the last 2 s, 5 s, ... 60 s. Exact for a fixed window. For a bucket the shortest horizon is
    /// exact.
    ///
    /// Only the time since `from` counts, but at least 2 s.
    pub(crate) fn taken(&mut self, wait: Span, from: Instant, now: Instant) -> f64 {
        // Servers round up to a second, and few that count by the minute ask for no more.
        let wait = wait - Span::SECOND;
        let known = (now - from).max(Span::secs(HORIZONS[0]));
        let rates = HORIZONS.map(|seconds| {
            let (count, time) = self.over(seconds, now);
            match time < known + Span::SECOND {
                true => per_second(count, time + wait),
                false => 0.0,
            }
        });
        rates.into_iter().fold(0.0, f64::max)
    }

    /// The fastest recent rate, if at least ten requests of weight `one` were sent.
    pub(crate) fn fastest(&mut self, one: f64, now: Instant) -> Option<f64> {
        let rates = HORIZONS.into_iter().filter_map(|seconds| {
            let (count, time) = self.over(seconds, now);
            (count as f64 >= ENOUGH * one).then(|| per_second(count, time))
        });
        rates.reduce(f64::max)
    }

    /// The mean rate per second that the server took over the last `seconds`, 60 at most.
    pub(crate) fn mean(&mut self, seconds: u64, now: Instant) -> f64 {
        let (count, time) = self.over(seconds, now);
        per_second(count, time)
    }

    /// The [`mean`](Self::mean), once requests have been sent for `seconds`.
    pub(crate) fn steady(&mut self, seconds: u64, now: Instant) -> Option<f64> {
        let known = (now / Span::SECOND).saturating_sub(self.oldest) >= seconds;
        known.then(|| self.mean(seconds, now))
    }

    /// The count over the last `seconds`, and the time it covers. The time before the first request is left
    /// out.
    fn over(&mut self, seconds: u64, now: Instant) -> (u64, Span) {
        let second = now / Span::SECOND;
        self.forget(second);
        let seconds = seconds.min(second.saturating_sub(self.oldest));
        let last = (second - seconds)..=second;
        let counts = last.map(|second| u64::from(self.counts[index(second)]));
        let count = counts.sum();
        (count, Span::secs(seconds) + now % Span::SECOND)
    }

    fn forget(&mut self, second: u64) {
        if second <= self.newest {
            return;
        }
        let gone = (second - self.newest).min(LENGTH as u64);
        for second in second - gone + 1..=second {
            self.counts[index(second)] = 0;
        }
        self.newest = second;
    }
}

fn index(second: u64) -> usize {
    (second % LENGTH as u64) as usize
}

/// Less than a second counts as a second, since it tells too little.
fn per_second(count: u64, time: Span) -> f64 {
    count as f64 / time.max(Span::SECOND).as_nanos() as f64 * 1e9
}

const LENGTH: usize = 64;
const HORIZONS: [u64; 6] = [2, 5, 10, 20, 40, 60];
const ENOUGH: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{at, settled};

    const HALF: Span = Span::millis(500);

    /// Sends one at a time, evenly, in each of these stretches of (seconds, requests a second).
    fn sent(stretches: &[(u64, u64)]) -> (Sent, Instant) {
        let (mut sent, mut now) = (Sent::default(), at(0));
        for (seconds, per_second) in stretches {
            for _ in 0..seconds * per_second {
                sent.add(Weight(1), now);
                now = now + Span::SECOND / *per_second;
            }
        }
        (sent, now)
    }

    #[track_caller]
    fn about(is: f64, expected: f64) {
        assert!((is / expected - 1.0).abs() < 0.02, "{is} for {expected}");
    }

    #[test]
    fn a_mean_counts_the_part_of_the_second_that_has_passed() {
        let (mut sent, now) = sent(&[(10, 10)]);
        for _ in 0..5 {
            sent.add(Weight(1), now);
        }
        assert_eq!(sent.mean(60, now + HALF), 10.0);
    }

    #[test]
    fn nothing_older_than_a_minute_is_counted_or_corrected() {
        let mut sent = Sent::default();
        sent.add(Weight(100), at(1));
        assert_eq!(sent.mean(60, at(65)), 0.0);
        sent.add(Weight(60), at(65));
        sent.settle(at(1), settled(100, 160));
        assert_eq!(sent.mean(60, at(65)), 1.0);
    }

    #[test]
    fn a_mean_is_steady_after_a_minute_of_sending() {
        let mut sent = Sent::default();
        for second in 100..=160 {
            sent.add(Weight(3), at(second));
        }
        assert_eq!(sent.steady(60, at(159)), None);
        about(sent.steady(60, at(160)).unwrap(), 3.0);
    }

    #[test]
    fn the_fastest_rate_is_known_after_ten_requests_of_the_usual_weight() {
        let mut sent = Sent::default();
        for tenth in 0..9 {
            sent.add(Weight(100), at(0) + Span::millis(100 * tenth));
        }
        let now = at(0) + Span::millis(900);
        assert_eq!(sent.fastest(100.0, now), None);
        sent.add(Weight(100), now);
        assert_eq!(sent.fastest(100.0, now), Some(1_000.0));
    }

    #[test]
    fn only_the_time_since_the_last_cut_tells_what_the_server_takes() {
        let (mut sent, now) = sent(&[(13, 50), (5, 20), (2, 10)]);
        let now = now + HALF;
        // The time is at least two seconds, even just after the cut.
        about(sent.taken(Span::ZERO, now, now), 20.0 / 2.5);
        // One second more than the time since the cut, which was in the middle of a second.
        about(sent.taken(Span::ZERO, now - Span::secs(5), now), 80.0 / 5.5);
        about(sent.taken(Span::ZERO, at(0), now), 770.0 / 20.5);
    }

    #[test]
    fn the_wait_that_the_server_asks_for_counts_but_for_the_second_it_is_rounded_up_by() {
        let (mut sent, now) = sent(&[(20, 10)]);
        for (wait, seconds) in [(0, 20.0), (1, 20.0), (11, 30.0)] {
            about(sent.taken(Span::secs(wait), at(0), now), 200.0 / seconds);
        }
    }

    /// Regression: a sum overflowed.
    #[test]
    fn absurd_weights_are_sums_like_others() {
        let mut sent = Sent::default();
        for second in 1..=4 {
            sent.add(Weight(1), at(second));
            sent.settle(at(second), settled(1, u64::MAX));
        }
        assert!(sent.mean(4, at(4)) >= f64::from(u32::MAX));
        assert!(sent.fastest(1.0, at(4)) >= Some(f64::from(u32::MAX)));
    }
}
