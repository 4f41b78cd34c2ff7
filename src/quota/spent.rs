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
    part: u64,
    /// Which is the newest, counted from the beginning of time.
    newest: u64,
    /// Until when this counts, and not the pace alone.
    counts_until: u64,
}

impl Spent {
    /// These left in the last window, and when each did.
    pub(crate) fn of(window: u64, departures: impl Iterator<Item = (u64, u64)>, now: u64) -> Self {
        let part = window.div_ceil(PARTS);
        let mut spent = Self {
            // One more, that is in the window but for a part.
            parts: vec![0; PARTS as usize + 1],
            sum: 0,
            part,
            newest: now / part,
            counts_until: 0,
        };
        for (at, cost) in departures {
            spent.set(at.min(now), 0, cost);
        }
        spent
    }

    pub(crate) fn charge(&mut self, cost: u64, now: u64) {
        self.forget(now);
        self.set(now, 0, cost);
    }

    /// What left at an instant did not cost `from`, but `to`.
    pub(crate) fn settle(&mut self, at: u64, (from, to): (u64, u64), now: u64) {
        self.set(at, from, to);
        if to < from {
            let window = self.part.saturating_mul(PARTS);
            self.counts_until = now.saturating_add(window);
        }
    }

    fn set(&mut self, at: u64, from: u64, to: u64) {
        let part = at / self.part;
        if part <= self.newest && self.newest - part <= PARTS {
            let place = self.place(part);
            let settled = self.parts[place].saturating_sub(from).saturating_add(to);
            self.sum = self.sum.saturating_sub(self.parts[place]);
            self.sum = self.sum.saturating_add(settled);
            self.parts[place] = settled;
        }
    }

    /// The earliest instant at which less than `max` was spent in the window, if nothing is until then; or
    /// from which on it does not matter.
    pub(crate) fn next(&self, max: u64) -> u64 {
        if self.counts_until == 0 {
            return 0;
        }
        let mut left = self.sum;
        let mut part = self.newest.saturating_sub(PARTS);
        while left >= max {
            left = left.saturating_sub(self.parts[self.place(part)]);
            part += 1;
        }
        // Nothing has to leave, or those before this have.
        match left == self.sum {
            true => 0,
            false => {
                let at = (part + PARTS).saturating_mul(self.part);
                at.min(self.counts_until)
            }
        }
    }

    /// What was spent, and when, at the latest.
    pub(crate) fn departures(&self) -> impl Iterator<Item = (u64, u64)> {
        let parts = self.newest.saturating_sub(PARTS)..=self.newest;
        parts.map(|part| {
            let end = part.saturating_add(1).saturating_mul(self.part);
            (end - 1, self.parts[self.place(part)])
        })
    }

    /// From when on it does not matter.
    pub(crate) fn over(&self) -> u64 {
        if self.sum == 0 {
            return 0;
        }
        let left = self.newest.saturating_add(PARTS + 1);
        left.saturating_mul(self.part).min(self.counts_until)
    }

    fn forget(&mut self, now: u64) {
        let newest = now / self.part;
        for part in self.newest.saturating_add(1)..=newest.min(self.newest + PARTS + 1) {
            let place = self.place(part);
            let gone = std::mem::take(&mut self.parts[place]);
            self.sum = self.sum.saturating_sub(gone);
        }
        self.newest = self.newest.max(newest);
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

    const SECOND: u64 = 1_000_000_000;
    const WINDOW: u64 = 60 * SECOND;

    fn spent(departures: &[(u64, u64)], now: u64) -> Spent {
        Spent::of(WINDOW, departures.iter().copied(), now)
    }

    #[test]
    fn what_was_spent_counts_for_a_window_and_hardly_longer() {
        let now = 100 * SECOND;
        let mut spent = spent(&[(now - 30 * SECOND, 600), (now, 401)], now);
        // Of a paced quota the pace is enough, until some come back.
        assert_eq!(spent.next(1), 0);
        spent.settle(now, (401, 400), now);
        assert_eq!(spent.next(1_001), 0);
        for max in [401, 1_000] {
            let over = spent.next(max) - (now + 30 * SECOND);
            assert!(over <= WINDOW / PARTS, "{max}: {over}");
        }
        let over = spent.next(400) - (now + WINDOW);
        assert!(over <= WINDOW / PARTS, "{over}");
        assert!(spent.over() >= spent.next(1));
    }

    #[test]
    fn what_is_settled_counts_as_it_was() {
        let mut spent = spent(&[(0, 1_000)], 0);
        spent.charge(500, SECOND);
        spent.settle(0, (1_000, 10), SECOND);
        assert_eq!(spent.next(511), 0);
        assert!(spent.next(510) > WINDOW);
        spent.settle(SECOND, (500, 600), SECOND);
        assert!(spent.next(610) > WINDOW && spent.next(611) == 0);
        // Long after, of what has left the window nothing is known.
        spent.charge(1, 300 * SECOND);
        spent.settle(SECOND, (600, 0), 300 * SECOND);
        assert_eq!((spent.next(2), spent.sum), (0, 1));
    }

    #[test]
    fn the_first_requests_count_no_longer_than_others() {
        let mut spent = spent(&[(0, 1_000)], 0);
        spent.charge(1, 300 * SECOND);
        assert_eq!(spent.next(2), 0);
    }

    #[test]
    fn a_window_of_another_length_holds_the_same() {
        let now = 40 * SECOND;
        let before = spent(&[(5 * SECOND, 5), (20 * SECOND, 6), (now, 7)], now);
        let after = Spent::of(WINDOW / 2, before.departures(), now);
        assert_eq!(after.sum, 13);
        let same = Spent::of(WINDOW, before.departures(), now);
        for max in [8, 14, 18] {
            assert_eq!(same.next(max), before.next(max), "{max}");
        }
    }

    #[test]
    fn nothing_overflows() {
        let mut spent = spent(&[(0, u64::MAX), (SECOND, u64::MAX)], SECOND);
        spent.charge(u64::MAX, 2 * SECOND);
        spent.settle(0, (u64::MAX, 1), 0);
        spent.settle(SECOND, (u64::MAX, 1), u64::MAX);
        spent.charge(u64::MAX, u64::MAX);
        spent.charge(u64::MAX, u64::MAX);
        assert!(spent.next(1) > 0 && spent.over() > 0);
        assert!(spent.departures().count() > 0);
    }
}
