use crate::words::{Instant, Settled, Span, Weight};

/// The tokens charged in the last window, counted in parts of the window. A paced quota of tokens needs this,
/// since some tokens are given back.
///
/// Tokens that are given back belong to requests that departed up to minutes ago. If they were sent again at
/// once, a window that begins after those requests would hold too much. The pace alone does not prevent that.
/// For one window after tokens were given back these counts must therefore allow a departure too. A part counts
/// until its end has left the window.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    parts: Vec<u64>,
    sum: u64,
    /// The length of a part.
    part: Span,
    /// The index of the newest part, counted from the beginning of time.
    newest: u64,
    /// The end of the time in which these counts matter. After it the pace alone decides.
    counts_until: Instant,
}

impl Counter {
    /// Counts these departures of the last window, each with its instant and weight.
    pub(crate) fn of(
        window: Span,
        departures: impl Iterator<Item = (Instant, u64)>,
        now: Instant,
    ) -> Self {
        let part = window.div_ceil(PARTS);
        let mut counter = Self {
            // One more part than a window has, since the window begins in the middle of a part.
            parts: vec![0; PARTS as usize + 1],
            sum: 0,
            part,
            newest: now / part,
            counts_until: Instant::START,
        };
        for (at, weight) in departures {
            counter.set(at.min(now), Settled::charge(Weight(weight)));
        }
        counter
    }

    pub(crate) fn charge(&mut self, weight: Weight, now: Instant) {
        self.forget(now);
        self.set(now, Settled::charge(weight));
    }

    /// Settles what was charged at the instant `at`.
    pub(crate) fn settle(&mut self, at: Instant, settled: Settled, now: Instant) {
        self.set(at, settled);
        if settled.to < settled.from {
            self.counts_until = now + self.part * PARTS;
        }
    }

    fn set(&mut self, at: Instant, Settled { from, to }: Settled) {
        let part = at / self.part;
        if part <= self.newest && self.newest - part <= PARTS {
            let index = self.index(part);
            let settled = self.parts[index]
                .saturating_sub(from.0)
                .saturating_add(to.0);
            self.sum = self.sum.saturating_sub(self.parts[index]);
            self.sum = self.sum.saturating_add(settled);
            self.parts[index] = settled;
        }
    }

    /// The earliest instant at which the window holds less than `max`, if nothing departs until then, or the
    /// end of the time in which these counts matter.
    pub(crate) fn next(&self, max: u64) -> Instant {
        if self.counts_until == Instant::START {
            return Instant::START;
        }
        let mut rest = self.sum;
        let mut part = self.newest.saturating_sub(PARTS);
        while rest >= max {
            rest = rest.saturating_sub(self.parts[self.index(part)]);
            part += 1;
        }
        // Either nothing has to leave the window, or the parts before this one suffice.
        match rest == self.sum {
            true => Instant::START,
            false => self.begin(part + PARTS).min(self.counts_until),
        }
    }

    /// The departures, each with the latest instant at which it may have departed, and its weight.
    pub(crate) fn departures(&self) -> impl Iterator<Item = (Instant, u64)> {
        let parts = self.newest.saturating_sub(PARTS)..=self.newest;
        parts.map(|part| {
            let last = self.begin(part.saturating_add(1)) - Span::nanos(1);
            (last, self.parts[self.index(part)])
        })
    }

    /// The instant from which on these counts no longer matter.
    pub(crate) fn over(&self) -> Instant {
        if self.sum == 0 {
            return Instant::START;
        }
        let end = self.newest.saturating_add(PARTS + 1);
        self.begin(end).min(self.counts_until)
    }

    fn forget(&mut self, now: Instant) {
        let newest = now / self.part;
        for part in self.newest.saturating_add(1)..=newest.min(self.newest + PARTS + 1) {
            let index = self.index(part);
            let gone = std::mem::take(&mut self.parts[index]);
            self.sum = self.sum.saturating_sub(gone);
        }
        self.newest = self.newest.max(newest);
    }

    /// The instant at which a part begins.
    fn begin(&self, part: u64) -> Instant {
        Instant::START + self.part * part
    }

    fn index(&self, part: u64) -> usize {
        (part % (PARTS + 1)) as usize
    }
}

/// Half a part is counted too long on average. That share of the quota is not used.
const PARTS: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{at, settled};

    const WINDOW: Span = Span::secs(60);

    fn counter(departures: &[(Instant, u64)], now: Instant) -> Counter {
        Counter::of(WINDOW, departures.iter().copied(), now)
    }

    #[test]
    fn what_was_charged_counts_for_a_window_and_hardly_longer() {
        let now = at(100);
        let mut counter = counter(&[(now - Span::secs(30), 600), (now, 401)], now);
        // Until some tokens are given back, the pace of a paced quota suffices.
        assert_eq!(counter.next(1), at(0));
        counter.settle(now, settled(401, 400), now);
        assert_eq!(counter.next(1_001), at(0));
        for max in [401, 1_000] {
            let over = counter.next(max) - (now + Span::secs(30));
            assert!(over <= WINDOW / PARTS, "{max}: {over:?}");
        }
        let over = counter.next(400) - (now + WINDOW);
        assert!(over <= WINDOW / PARTS, "{over:?}");
        assert!(counter.over() >= counter.next(1));
    }

    #[test]
    fn what_is_settled_counts_as_it_was() {
        let mut counter = counter(&[(at(0), 1_000)], at(0));
        counter.charge(Weight(500), at(1));
        counter.settle(at(0), settled(1_000, 10), at(1));
        assert_eq!(counter.next(511), at(0));
        assert!(counter.next(510) > at(60));
        counter.settle(at(1), settled(500, 600), at(1));
        assert!(counter.next(610) > at(60) && counter.next(611) == at(0));
        // Long after, nothing is known of departures that have left the window.
        counter.charge(Weight(1), at(300));
        counter.settle(at(1), settled(600, 0), at(300));
        assert_eq!((counter.next(2), counter.sum), (at(0), 1));
    }

    #[test]
    fn the_first_requests_count_no_longer_than_others() {
        let mut counter = counter(&[(at(0), 1_000)], at(0));
        counter.charge(Weight(1), at(300));
        assert_eq!(counter.next(2), at(0));
    }

    #[test]
    fn a_window_of_another_length_holds_the_same() {
        let now = at(40);
        let before = counter(&[(at(5), 5), (at(20), 6), (now, 7)], now);
        let after = Counter::of(WINDOW / 2, before.departures(), now);
        assert_eq!(after.sum, 13);
        let same = Counter::of(WINDOW, before.departures(), now);
        for max in [8, 14, 18] {
            assert_eq!(same.next(max), before.next(max), "{max}");
        }
    }

    #[test]
    fn nothing_overflows() {
        let mut counter = counter(&[(at(0), u64::MAX), (at(1), u64::MAX)], at(1));
        counter.charge(Weight(u64::MAX), at(2));
        counter.settle(at(0), settled(u64::MAX, 1), at(0));
        counter.settle(at(1), settled(u64::MAX, 1), Instant::NEVER);
        counter.charge(Weight(u64::MAX), Instant::NEVER);
        counter.charge(Weight(u64::MAX), Instant::NEVER);
        assert!(counter.next(1) > at(0) && counter.over() > at(0));
        assert!(counter.departures().count() > 0);
    }
}
