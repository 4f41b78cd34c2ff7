//! Computes the wait before a retry.

use std::time::Duration;

use super::verdict::Basis;

/// Settings for the wait; see the setters of [`TogetherRetryLayer`](super::TogetherRetryLayer).
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    pub(super) first: Duration,
    pub(super) longest: Duration,
    pub(super) jitter: Duration,
    pub(super) unhinted: Duration,
}

impl Backoff {
    /// The wait before the `nth` retry, counted from 1. `hint` is the wait that the server asks for. `random` is
    /// at least 0 and below 1.
    ///
    /// The server's wait is a minimum. The jitter is added to it, so that no retry is early and retries are
    /// spread.
    pub(super) fn wait(
        &self,
        basis: Basis,
        nth: u32,
        hint: Option<Duration>,
        random: f64,
    ) -> Duration {
        match (basis, hint) {
            (Basis::Pushback(wait), _) => wait,
            (_, Some(hint)) => hint.saturating_add(self.jitter.mul_f64(random)),
            (Basis::Throttled, None) => self.unhinted.saturating_add(self.jitter.mul_f64(random)),
            (Basis::Failed, None) => self.ceiling(nth).mul_f64(random),
        }
    }

    /// The upper bound of full jitter: `first`, doubled each time, up to `longest`.
    fn ceiling(&self, nth: u32) -> Duration {
        let doubled = 1u32.checked_shl(nth - 1).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.longest)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            // Together's own SDKs start at 1 s and double it (together 3.1.1, `_constants.py`). They stop at 10 s,
            // too early to outlast an outage of a minute.
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            // Twenty clients that were given the same wait retried together and were rejected together
            // (github.com/NousResearch/hermes-agent/pull/109234).
            jitter: Duration::from_secs(2),
            unhinted: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_hint_is_a_least_wait_and_jitter_comes_after_it() {
        let backoff = Backoff::default();
        let wait = |basis, hint, random| backoff.wait(basis, 1, hint, random);
        for basis in [Basis::Throttled, Basis::Failed] {
            assert_eq!(wait(basis, Some(7 * SECOND), 0.0), 7 * SECOND);
            assert_eq!(wait(basis, Some(7 * SECOND), 0.5), 8 * SECOND);
        }
        assert_eq!(wait(Basis::Throttled, None, 0.0), 5 * SECOND);
        assert_eq!(wait(Basis::Throttled, None, 0.5), 6 * SECOND);
        // gRPC gives the exact wait.
        assert_eq!(wait(Basis::Pushback(SECOND), None, 0.9), SECOND);
        assert_eq!(
            wait(Basis::Throttled, Some(Duration::MAX), 0.9),
            Duration::MAX
        );
    }

    #[test]
    fn failures_double_the_range_up_to_30_s() {
        let backoff = Backoff::default();
        let most = |nth| backoff.wait(Basis::Failed, nth, None, 1.0).as_secs();
        let ranges = [1, 2, 3, 4, 5, 6, 7, 40, u32::MAX].map(most);
        assert_eq!(ranges, [1, 2, 4, 8, 16, 30, 30, 30, 30]);
        assert_eq!(backoff.wait(Basis::Failed, 9, None, 0.0), Duration::ZERO);
    }

    /// tower 0.5's backoff clones its random numbers into every request, so that all requests wait equally long.
    /// Other crates lose the jitter if the wait is a whole number of seconds.
    #[test]
    fn a_thousand_draws_from_one_second_are_a_thousand_waits() {
        let backoff = Backoff::default();
        let draw = |_| backoff.wait(Basis::Failed, 1, None, fastrand::f64());
        let waits: HashSet<_> = (0..1_000).map(draw).collect();
        assert!(waits.len() > 900);
        assert!(waits.iter().all(|wait| *wait < SECOND));
    }
}
