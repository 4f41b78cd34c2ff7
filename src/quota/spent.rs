use crate::words::{Instant, Settled, Span, Weight};

/// What was spent in the last window, in parts of it: what a paced quota of tokens needs, since some are
/// given back.
///
/// What comes back is that of requests that left up to minutes ago. Sent again at once, it is too much for
/// a window that begins after those; the pace alone does not know. So for a window after some came back this
/// counts too. A part counts until its end has left the window.
#[derive(Clone, Debug)]
pub(crate) struct Spent {
    parts: Vec<u64>,
    sum: u64,
    /// How long one is.
    part: Span,
    /// Which is the newest, counted from the beginning of time.
    newest: u64,
    /// Until when this counts, and not the pace alone.
    counts_until: Instant,
}

impl Spent {
    /// These left in the last window, and when each did.
    pub(crate) fn of(
        window: Span,
        departures: impl Iterator<Item = (Instant, u64)>,
        now: Instant,
    ) -> Self {
        let part = window.div_ceil(PARTS);
        let mut spent = Self {
            // One more, that is in the window but for a part.
            parts: vec![0; PARTS as usize + 1],
            sum: 0,
            part,
            newest: now / part,
            counts_until: Instant::START,
        };
        for (at, cost) in departures {
            spent.set(at.min(now), Settled::charge(Weight(cost)));
        }
        spent
    }

    pub(crate) fn charge(&mut self, cost: Weight, now: Instant) {
        self.forget(now);
        self.set(now, Settled::charge(cost));
    }

    /// Settles what left at an instant.
    pub(crate) fn settle(&mut self, at: Instant, settled: Settled, now: Instant) {
        self.set(at, settled);
        if settled.to < settled.from {
            self.counts_until = now + self.part * PARTS;
        }
    }

    fn set(&mut self, at: Instant, Settled { from, to }: Settled) {
        let part = at / self.part;
        if part <= self.newest && self.newest - part <= PARTS {
            let place = self.place(part);
            let settled = self.parts[place]
                .saturating_sub(from.0)
                .saturating_add(to.0);
            self.sum = self.sum.saturating_sub(self.parts[place]);
            self.sum = self.sum.saturating_add(settled);
            self.parts[place] = settled;
        }
    }

    /// The earliest instant at which less than `max` was spent in the window, if nothing is until then; or
    /// from which on it does not matter.
    pub(crate) fn next(&self, max: u64) -> Instant {
        if self.counts_until == Instant::START {
            return Instant::START;
        }
        let mut left = self.sum;
        let mut part = self.newest.saturating_sub(PARTS);
        while left >= max {
            left = left.saturating_sub(self.parts[self.place(part)]);
            part += 1;
        }
        // Nothing has to leave, or those before this have.
        match left == self.sum {
            true => Instant::START,
            false => self.begin(part + PARTS).min(self.counts_until),
        }
    }

    /// What was spent, and when, at the latest.
    pub(crate) fn departures(&self) -> impl Iterator<Item = (Instant, u64)> {
        let parts = self.newest.saturating_sub(PARTS)..=self.newest;
        parts.map(|part| {
            let last = self.begin(part.saturating_add(1)) - Span::nanos(1);
            (last, self.parts[self.place(part)])
        })
    }

    /// From when on it does not matter.
    pub(crate) fn over(&self) -> Instant {
        if self.sum == 0 {
            return Instant::START;
        }
        let left = self.newest.saturating_add(PARTS + 1);
        self.begin(left).min(self.counts_until)
    }

    fn forget(&mut self, now: Instant) {
        let newest = now / self.part;
        for part in self.newest.saturating_add(1)..=newest.min(self.newest + PARTS + 1) {
            let place = self.place(part);
            let gone = std::mem::take(&mut self.parts[place]);
            self.sum = self.sum.saturating_sub(gone);
        }
        self.newest = self.newest.max(newest);
    }

    /// When a part begins.
    fn begin(&self, part: u64) -> Instant {
        Instant::START + self.part * part
    }

    fn place(&self, part: u64) -> usize {
        (part % (PARTS + 1)) as usize
    }
}

/// A half of one part is counted too long on average: that much of the quota is not used.
const PARTS: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{at, settled};

    const WINDOW: Span = Span::secs(60);

    fn spent(departures: &[(Instant, u64)], now: Instant) -> Spent {
        Spent::of(WINDOW, departures.iter().copied(), now)
    }

    #[test]
    fn what_was_spent_counts_for_a_window_and_hardly_longer() {
        let now = at(100);
        let mut spent = spent(&[(now - Span::secs(30), 600), (now, 401)], now);
        // Of a paced quota the pace is enough, until some come back.
        assert_eq!(spent.next(1), at(0));
        spent.settle(now, settled(401, 400), now);
        assert_eq!(spent.next(1_001), at(0));
        for max in [401, 1_000] {
            let over = spent.next(max) - (now + Span::secs(30));
            assert!(over <= WINDOW / PARTS, "{max}: {over:?}");
        }
        let over = spent.next(400) - (now + WINDOW);
        assert!(over <= WINDOW / PARTS, "{over:?}");
        assert!(spent.over() >= spent.next(1));
    }

    #[test]
    fn what_is_settled_counts_as_it_was() {
        let mut spent = spent(&[(at(0), 1_000)], at(0));
        spent.charge(Weight(500), at(1));
        spent.settle(at(0), settled(1_000, 10), at(1));
        assert_eq!(spent.next(511), at(0));
        assert!(spent.next(510) > at(60));
        spent.settle(at(1), settled(500, 600), at(1));
        assert!(spent.next(610) > at(60) && spent.next(611) == at(0));
        // Long after, of what has left the window nothing is known.
        spent.charge(Weight(1), at(300));
        spent.settle(at(1), settled(600, 0), at(300));
        assert_eq!((spent.next(2), spent.sum), (at(0), 1));
    }

    #[test]
    fn the_first_requests_count_no_longer_than_others() {
        let mut spent = spent(&[(at(0), 1_000)], at(0));
        spent.charge(Weight(1), at(300));
        assert_eq!(spent.next(2), at(0));
    }

    #[test]
    fn a_window_of_another_length_holds_the_same() {
        let now = at(40);
        let before = spent(&[(at(5), 5), (at(20), 6), (now, 7)], now);
        let after = Spent::of(WINDOW / 2, before.departures(), now);
        assert_eq!(after.sum, 13);
        let same = Spent::of(WINDOW, before.departures(), now);
        for max in [8, 14, 18] {
            assert_eq!(same.next(max), before.next(max), "{max}");
        }
    }

    #[test]
    fn nothing_overflows() {
        let mut spent = spent(&[(at(0), u64::MAX), (at(1), u64::MAX)], at(1));
        spent.charge(Weight(u64::MAX), at(2));
        spent.settle(at(0), settled(u64::MAX, 1), at(0));
        spent.settle(at(1), settled(u64::MAX, 1), Instant::NEVER);
        spent.charge(Weight(u64::MAX), Instant::NEVER);
        spent.charge(Weight(u64::MAX), Instant::NEVER);
        assert!(spent.next(1) > at(0) && spent.over() > at(0));
        assert!(spent.departures().count() > 0);
    }
}
