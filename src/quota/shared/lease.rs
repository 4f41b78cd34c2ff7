//! The instants that a lane was granted.

use std::collections::VecDeque;

use super::offset::Offset;
use crate::words::{Instant, Span, Weight};

/// The instants at which requests of one lane may depart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lease {
    /// The clock that its instants are of.
    clock: Offset,
    runs: VecDeque<Run>,
    /// No request departs before this instant.
    after: Instant,
    /// The number of instants that passed before a request could use them.
    lapsed: u64,
}

/// Instants at equal distances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// The first of them, in nanoseconds of the ledger's clock.
    pub(crate) first: u64,
    pub(crate) apart: Span,
    pub(crate) n: u64,
    /// The tokens charged for each.
    pub(crate) tokens: Weight,
    /// How late a request may depart after its instant.
    pub(crate) late: Span,
}

impl Lease {
    /// Uses `clock` from now on. Its instants are kept if `keeps` is true and they are of the same clock.
    pub(crate) fn follow(&mut self, clock: &Offset, keeps: bool) {
        if !keeps || self.clock.is_own() != clock.is_own() {
            self.runs.clear();
        }
        self.clock = clock.clone();
    }

    pub(crate) fn grant(&mut self, run: Run) {
        if run.n > 0 {
            self.runs.push_back(run);
        }
    }

    /// The local instant from which on the next request may depart; `None` if no instant is left. Instants
    /// that have passed lapse.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Instant> {
        while let Some(run) = self.runs.front() {
            let over = self.clock.maybe_at(run.first, now)? + run.late;
            if now <= over {
                let first = self.clock.surely_after(run.first, now)?;
                return Some(first.max(self.after));
            }
            self.lapsed += 1;
            self.pop();
        }
        None
    }

    /// The local instant at which the next one has come.
    pub(crate) fn first(&self, now: Instant) -> Instant {
        let run = self.runs.front();
        let first = run.and_then(|run| self.clock.surely_after(run.first, now));
        first.unwrap_or(Instant::START)
    }

    /// Takes the next instant, which has come. Returns the tokens charged for it.
    pub(crate) fn take(&mut self) -> Option<Weight> {
        let tokens = self.runs.front()?.tokens;
        self.pop();
        Some(tokens)
    }

    /// The number of instants left.
    pub(crate) fn left(&self) -> u64 {
        self.runs.iter().map(|run| run.n).sum()
    }

    /// The tokens charged for all of them.
    pub(crate) fn tokens(&self) -> Weight {
        let tokens = self
            .runs
            .iter()
            .map(|run| run.tokens.0.saturating_mul(run.n));
        Weight(tokens.fold(0, u64::saturating_add))
    }

    /// The local instant of the last one, at the earliest.
    pub(crate) fn ends(&self, now: Instant) -> Option<Instant> {
        let run = self.runs.back()?;
        let after = (run.apart * (run.n - 1)).as_nanos();
        self.clock.maybe_at(run.first.saturating_add(after), now)
    }

    /// No request departs before this instant.
    pub(crate) fn wait_until(&mut self, after: Instant) {
        self.after = self.after.max(after);
    }

    pub(crate) fn clear(&mut self) {
        self.runs.clear();
    }

    pub(crate) fn lapsed(&self) -> u64 {
        self.lapsed
    }

    fn pop(&mut self) {
        let Some(run) = self.runs.front_mut() else {
            return;
        };
        run.first = run.first.saturating_add(run.apart.as_nanos());
        run.n -= 1;
        if run.n == 0 {
            self.runs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::START + Span::millis(ms)
    }

    fn run(first_ms: u64, n: u64) -> Run {
        Run {
            first: first_ms * 1_000_000,
            apart: Span::millis(100),
            n,
            tokens: Weight(7),
            late: Span::millis(50),
        }
    }

    #[test]
    fn a_request_departs_at_its_instant_or_a_little_later_and_then_the_instant_lapses() {
        let mut lease = Lease::default();
        lease.follow(&Offset::own(), true);
        assert_eq!(lease.next(at(0)), None);
        lease.grant(run(1_000, 3));
        assert_eq!(lease.next(at(0)), Some(at(1_000)));
        assert_eq!(lease.next(at(1_050)), Some(at(1_000)));
        assert_eq!(lease.next(at(1_051)), Some(at(1_100)));
        assert_eq!(lease.take(), Some(Weight(7)));
        assert_eq!((lease.left(), lease.lapsed()), (1, 1));
        assert_eq!(lease.next(at(2_000)), None);
        assert_eq!((lease.left(), lease.lapsed(), lease.take()), (0, 2, None));
    }
}
