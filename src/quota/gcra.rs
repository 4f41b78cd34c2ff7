use super::{counter::Counter, pace::Pace};
use crate::words::{Amount, Instant, Quota, Settled, Span, Weight};

/// A paced quota in 32 bytes (the generic cell rate algorithm).
///
/// `due` is the instant at which the next request is due if all are evenly spaced. A request may depart up to
/// a burst before that, and moves `due` on by its weight. A request that could have departed a little earlier
/// moves `due` on as if it had, since late timers would add up otherwise. A request that comes after a quiet
/// time was not late.
///
/// The limit is never exceeded. Of any `max + 1` departures the last is at least `max * interval - (burst -
/// 1) * interval - lateness` after the first. With `interval = (per + margin) / (max - burst + 1)` and
/// `lateness <= margin / 4` that is more than `per`.
#[derive(Clone, Debug)]
pub(crate) struct Gcra {
    pace: Pace,
    interval: Span,
    /// The tokens that its windows hold. Only a quota of tokens has it, since their cost is settled later.
    counter: Option<Box<Counter>>,
}

impl Gcra {
    pub(crate) fn new(quota: &Quota) -> Self {
        Self {
            pace: Pace::default(),
            interval: quota.interval(),
            counter: None,
        }
    }

    /// The earliest instant at which the next request may depart, after `ahead` of weight has departed before
    /// it.
    pub(crate) fn next(&self, quota: &Quota, ahead: Amount, now: Instant) -> Instant {
        let due = if ahead == Amount(0) {
            self.pace.due
        } else {
            self.after(quota, ahead, now)
        };
        let next = due - self.tolerance(quota);
        let counter = self.counter.as_ref();
        counter.map_or(next, |counter| next.max(counter.next(quota.max())))
    }

    /// The weight that can be charged now, beside what is `ahead`, so that the next request can still depart at
    /// `at`, or a hundredth of an interval later. Intervals are rounded up, so those of 300 and of 600 a
    /// minute never match to the nanosecond.
    pub(crate) fn room(&self, quota: &Quota, ahead: Amount, at: Instant, now: Instant) -> u64 {
        let slack = self.interval / 100;
        let latest = at + self.tolerance(quota) + slack;
        (latest - self.after(quota, ahead, now)) / self.interval
    }

    /// Charges a request that could have departed since `ready`.
    pub(crate) fn charge(&mut self, quota: &Quota, weight: Weight, ready: Instant, now: Instant) {
        self.pace
            .depart(self.interval * weight.0, quota.lateness(), ready, now);
    }

    /// Charges tokens, some of which [`settle`](Gcra::settle) may give back.
    pub(crate) fn charge_tokens(
        &mut self,
        quota: &Quota,
        tokens: Weight,
        ready: Instant,
        now: Instant,
    ) {
        self.charge(quota, tokens, ready, now);
        self.counter(quota, now).charge(tokens, now);
    }

    /// A quota whose window holds these departures, each with its instant and weight.
    pub(crate) fn after_window(quota: &Quota, departures: &[(Instant, u64)], now: Instant) -> Self {
        let mut gcra = Self::new(quota);
        for &(at, weight) in departures {
            gcra.charge(quota, Weight(weight), at, at);
        }
        // After `last` has left the window no window holds any of them, however long they take at this pace.
        if let Some((last, _)) = departures.last() {
            let over = *last + quota.window() + gcra.tolerance(quota);
            gcra.pace.due = gcra.pace.due.min(over);
        }
        let departures = departures.iter().copied();
        gcra.counter = Some(Box::new(Counter::of(quota.window(), departures, now)));
        gcra
    }

    /// Upper bounds of the departures in a window that ends now: the latest instants and the highest weights.
    pub(crate) fn departures(&self, quota: &Quota, now: Instant) -> Vec<(Instant, u64)> {
        if let Some(counter) = &self.counter {
            return counter.departures().collect();
        }
        let sent = self.pace.due - (now - quota.window());
        let sent = sent.as_nanos().div_ceil(self.interval.as_nanos());
        let each = sent.div_ceil(GROUPS).max(1);
        let groups = (0..sent.div_ceil(each)).rev().map(|group| {
            let after = self.interval * (group * each);
            let at = (self.pace.due - after).min(self.pace.last);
            (at, each.min(sent - group * each))
        });
        groups.collect()
    }

    /// The instant from which on this is no different from a new one.
    pub(crate) fn fresh_at(&self, quota: &Quota) -> Instant {
        let paid = self.pace.due + quota.lateness();
        let counter = self.counter.as_ref();
        counter.map_or(paid, |counter| paid.max(counter.over()))
    }

    /// The number of requests of weight 1 that can depart at once now.
    pub(crate) fn remaining(&self, quota: &Quota, now: Instant) -> u64 {
        let counter = self.counter.as_ref();
        if counter.is_some_and(|counter| counter.next(quota.max()) > now) {
            return 0;
        }
        let due = self.pace.due.max(now);
        let limit = now + self.tolerance(quota);
        match due <= limit {
            true => (limit - due) / self.interval + 1,
            false => 0,
        }
    }

    /// Continues under another quota. Debt is kept, and paid at the new pace from now on. A burst larger than
    /// the one `before` is not available at once, since more may have departed at the earlier pace.
    pub(crate) fn rebase(&mut self, before: u64, quota: &Quota, now: Instant) {
        let larger = quota.burst().saturating_sub(before);
        let sent = match larger {
            0 => Instant::START,
            _ => {
                Self::after_window(quota, &self.departures(quota, now), now)
                    .pace
                    .due
            }
        };
        let interval = quota.interval();
        let [owed, from, to] =
            [self.pace.due - now, self.interval, interval].map(|span| u128::from(span.as_nanos()));
        let owed = u64::try_from((owed * to).div_ceil(from)).unwrap_or(u64::MAX);
        if owed > 0 {
            self.pace.due = now + Span::nanos(owed);
        }
        let without = self.pace.due.max(now) + quota.interval() * larger;
        self.pace.due = self.pace.due.max(sent.min(without));
        self.interval = interval;
        if let Some(counter) = &mut self.counter {
            **counter = Counter::of(quota.window(), counter.departures(), now);
        }
    }

    /// Settles what was charged at an instant.
    pub(crate) fn settle(&mut self, quota: &Quota, at: Instant, settled: Settled, now: Instant) {
        self.counter(quota, now).settle(at, settled, now);
        let [less, more] = [settled.from, settled.to].map(|weight| self.interval * weight.0);
        self.pace.due = if less > more {
            self.pace.due - (less - more)
        } else {
            // `due` must not begin before the departure, since a quiet time would pay for the extra weight
            // otherwise.
            let due = self.pace.due.max(at - quota.lateness());
            due + (more - less)
        };
    }

    /// The earliest instant at which the next request is due, if those ahead of it depart from now on.
    fn after(&self, quota: &Quota, ahead: Amount, now: Instant) -> Instant {
        self.pace.due.max(now - quota.lateness()) + self.interval * ahead.0
    }

    fn counter(&mut self, quota: &Quota, now: Instant) -> &mut Counter {
        let nothing = || Counter::of(quota.window(), std::iter::empty(), now);
        self.counter.get_or_insert_with(|| Box::new(nothing()))
    }

    fn tolerance(&self, quota: &Quota) -> Span {
        self.interval * (quota.burst() - 1)
    }
}

/// The number of groups in which a window's departures are remembered, if only their pace is known.
const GROUPS: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{at, settled};

    fn just_before(at: Instant) -> Instant {
        at - Span::nanos(1)
    }

    #[test]
    fn a_burst_departs_at_once_and_later_requests_one_interval_apart() {
        let quota = Quota::per_minute(600).unwrap().with_burst(5).unwrap();
        let (interval, now) = (quota.interval(), at(100));
        let mut gcra = Gcra::new(&quota);
        assert!(gcra.next(&quota, Amount(4), now) <= now);
        assert!(gcra.next(&quota, Amount(5), now) > now);
        for remaining in (1..=5).rev() {
            assert_eq!(gcra.remaining(&quota, now), remaining);
            assert!(gcra.next(&quota, Amount(0), now) <= now);
            gcra.charge(&quota, Weight(1), now, now);
        }
        let mut due = now;
        for _ in 0..3 {
            due = due + interval;
            assert_eq!(gcra.next(&quota, Amount(0), now), due);
            assert_eq!(gcra.next(&quota, Amount(2), now), due + interval * 2);
            let free = [just_before(due), due].map(|at| gcra.remaining(&quota, at));
            assert_eq!(free, [0, 1]);
            gcra.charge(&quota, Weight(1), due, due);
        }
        // The burst refills one by one, up to its size.
        for remaining in 1..=5 {
            due = due + interval;
            assert_eq!(gcra.remaining(&quota, just_before(due)), remaining - 1);
            assert_eq!(gcra.remaining(&quota, due), remaining);
        }
        assert_eq!(gcra.remaining(&quota, due + Span::secs(3_600)), 5);
    }

    #[test]
    fn a_late_departure_delays_nobody() {
        let quota = Quota::per_minute(600).unwrap();
        let mut gcra = Gcra::new(&quota);
        gcra.charge(&quota, Weight(1), at(1), at(1));
        let second = gcra.next(&quota, Amount(0), at(1));
        // The second departs 20 ms late. The third is due as if the second had been on time.
        gcra.charge(&quota, Weight(1), second, second + Span::millis(20));
        assert_eq!(
            gcra.next(&quota, Amount(0), at(0)),
            second + quota.interval()
        );
    }

    #[test]
    fn a_quiet_time_saves_up_nothing() {
        let quota = Quota::per_minute(600).unwrap();
        let mut gcra = Gcra::new(&quota);
        let hour = at(3_600);
        gcra.charge(&quota, Weight(1), hour, hour);
        assert_eq!(gcra.next(&quota, Amount(0), hour), hour + quota.interval());
        // Lateness counts only up to its bound, however early the request could have departed.
        gcra.charge(&quota, Weight(1), hour, at(7_200));
        let next = gcra.next(&quota, Amount(0), at(7_200));
        assert_eq!(next, at(7_200) + quota.interval() - quota.lateness());
    }

    #[test]
    fn what_is_owed_stays_owed_at_the_new_pace() {
        let fast = Quota::per_minute(600).unwrap();
        let slow = Quota::per_minute(6).unwrap();
        let mut gcra = Gcra::new(&fast);
        gcra.charge(&fast, Weight(1), at(1), at(1));
        let half = at(1) + (gcra.next(&fast, Amount(0), at(1)) - at(1)) / 2;
        let before = gcra.pace.due - half;
        gcra.rebase(1, &slow, half);
        let after = gcra.pace.due - half;
        let [before, after, slow, fast] =
            [before, after, slow.interval(), fast.interval()].map(|span| span.as_nanos() as f64);
        assert!((after - before * slow / fast).abs() < 1_000.0);
    }

    #[test]
    fn where_nothing_is_owed_another_quota_changes_nothing() {
        let [fast, slow] = [600, 6].map(|max| Quota::per_minute(max).unwrap());
        let mut gcra = Gcra::new(&fast);
        gcra.charge(&fast, Weight(1), at(1), at(1));
        let before = gcra.next(&fast, Amount(0), at(0));
        gcra.rebase(1, &slow, at(100));
        assert_eq!(gcra.next(&slow, Amount(0), at(0)), before);
    }

    /// A key is forgotten once it owes nothing. Refunded tokens count for a whole window.
    #[test]
    fn only_a_refund_is_remembered_for_a_window() {
        let quota = Quota::per_minute(600).unwrap();
        for (to, remembered) in [(10, false), (12, false), (9, true)] {
            let mut gcra = Gcra::new(&quota);
            gcra.charge(&quota, Weight(10), at(1), at(1));
            gcra.settle(&quota, at(1), settled(10, to), at(1));
            let remembers = gcra.fresh_at(&quota) > at(10);
            assert_eq!(remembers, remembered, "{to}");
        }
    }

    #[test]
    fn nothing_overflows() {
        let quota = Quota::new(1, std::time::Duration::from_secs(366 * 24 * 3600)).unwrap();
        let mut gcra = Gcra::new(&quota);
        let never = Instant::NEVER;
        gcra.charge(&quota, Weight(u64::MAX), never, never);
        gcra.charge(&quota, Weight(u64::MAX), at(0), never);
        gcra.charge(&quota, Weight(1), never, at(0));
        gcra.settle(&quota, at(0), settled(u64::MAX, 0), at(0));
        gcra.settle(&quota, never, settled(0, u64::MAX), never);
        gcra.rebase(1, &quota, at(1));
        assert!(gcra.next(&quota, Amount(u64::MAX), at(5)) > at(0));
    }
}
