use super::{admission::Admission, gcra::Gcra, slots::Slots, window::Window};
use crate::words::{Amount, Cap, Instant, Quota, Settled, Weight};

/// The state of one limit for one key.
#[derive(Clone, Debug)]
pub(crate) enum Bucket {
    Paced(Gcra),
    Windowed(Box<Window>),
    Slots(Slots),
}

impl Bucket {
    pub(crate) fn new(cap: &Cap) -> Self {
        match cap.quota() {
            Ok(quota) if quota.is_windowed() => Self::Windowed(Box::default()),
            Ok(quota) => Self::Paced(Gcra::new(quota)),
            Err(_) => Self::Slots(Slots::default()),
        }
    }

    /// Asks for a request that costs `tokens`, with `ahead` of this limit's unit to depart before it. Has no
    /// visible effect.
    pub(crate) fn ask(
        &mut self,
        cap: &Cap,
        tokens: Weight,
        ahead: Amount,
        now: Instant,
    ) -> Admission {
        let weight = cap.weight(tokens);
        let at = match (self, cap.quota()) {
            (Self::Slots(slots), Err(max)) => return slots.ask(max, now),
            (_, Ok(quota)) if weight.0 > quota.max() => return Admission::Never,
            // A request that costs nothing passes, whatever is owed.
            _ if weight == Weight(0) => Instant::START,
            (Self::Paced(gcra), Ok(quota)) => gcra.next(quota, ahead, now),
            (Self::Windowed(window), Ok(quota)) => window.next(quota, weight + ahead, now),
            _ => Instant::START,
        };
        if at <= now {
            Admission::Now
        } else {
            Admission::At(at)
        }
    }

    /// The weight that can be charged now, beside what is `ahead`, so that `weight` can still depart at `at`.
    pub(crate) fn room(
        &self,
        cap: &Cap,
        weight: Weight,
        ahead: Amount,
        at: Instant,
        now: Instant,
    ) -> u64 {
        match (self, cap.quota()) {
            (Self::Paced(gcra), Ok(quota)) => gcra.room(quota, ahead, at, now),
            (Self::Windowed(window), Ok(quota)) => window.room(quota, weight + ahead, at, now),
            _ => u64::MAX,
        }
    }

    /// The instant since which the limit would have let a request depart, if it lets one depart now and the
    /// instant is known.
    pub(crate) fn ready(&self, cap: &Cap) -> Instant {
        match (self, cap.quota()) {
            (Self::Paced(gcra), Ok(quota)) => gcra.next(quota, Amount(0), Instant::START),
            (Self::Windowed(window), _) => window.ready(),
            (Self::Slots(slots), _) => slots.freed(),
            _ => Instant::START,
        }
    }

    /// Charges a request that could have departed since `ready`.
    pub(crate) fn charge(&mut self, cap: &Cap, tokens: Weight, ready: Instant, now: Instant) {
        let weight = cap.weight(tokens);
        match (self, cap.quota()) {
            (Self::Slots(slots), Err(_)) => slots.take(),
            _ if weight == Weight(0) => {}
            (Self::Paced(gcra), Ok(quota)) if matches!(cap, Cap::Tokens(_)) => {
                gcra.charge_tokens(quota, weight, ready, now);
            }
            (Self::Paced(gcra), Ok(quota)) => gcra.charge(quota, weight, ready, now),
            (Self::Windowed(window), Ok(quota)) => window.charge(quota, weight, now),
            _ => {}
        }
    }

    /// The slots, if the limit counts slots.
    pub(crate) fn slots(&mut self) -> Option<&mut Slots> {
        match self {
            Self::Slots(slots) => Some(slots),
            _ => None,
        }
    }

    /// Settles the tokens that were charged at an instant.
    pub(crate) fn settle(&mut self, cap: &Cap, at: Instant, settled: Settled, now: Instant) {
        let Cap::Tokens(quota) = cap else { return };
        // A cost that a server states is believed up to ten windows' worth.
        let most = quota.max().saturating_mul(BELIEVED);
        let [from, to] = [settled.from, settled.to].map(|tokens| tokens.min(Weight(most)));
        match self {
            Self::Paced(gcra) => gcra.settle(quota, at, Settled { from, to }, now),
            Self::Windowed(window) => window.settle(at, Settled { from, to }),
            Self::Slots(_) => {}
        }
    }

    /// Continues under another limit from now on. Earlier departures still count.
    pub(crate) fn rebase(&mut self, old: &Cap, cap: &Cap, now: Instant) {
        match (&mut *self, cap.quota()) {
            (Self::Paced(gcra), Ok(quota)) if quota.is_windowed() => {
                let sent = Window::of(gcra.departures(quota, now).into_iter());
                *self = Self::Windowed(Box::new(sent));
            }
            (Self::Paced(gcra), Ok(quota)) => {
                let burst = old.quota().map_or(1, Quota::burst);
                gcra.rebase(burst, quota, now);
            }
            (Self::Windowed(window), Ok(quota)) if !quota.is_windowed() => {
                *self = Self::Paced(Gcra::after_window(quota, &window.departures(), now));
            }
            (Self::Windowed(_), Ok(_)) => {}
            (Self::Slots(_), Err(_)) => {}
            _ => *self = Self::new(cap),
        }
    }

    /// The instant from which on this is no different from a new one; `None` while a slot is taken.
    pub(crate) fn fresh_at(&self, cap: &Cap) -> Option<Instant> {
        match (self, cap.quota()) {
            (Self::Paced(gcra), Ok(quota)) => Some(gcra.fresh_at(quota)),
            (Self::Windowed(window), Ok(quota)) => Some(window.fresh_at(quota)),
            (Self::Slots(slots), _) => slots.fresh_at(),
            _ => Some(Instant::START),
        }
    }

    /// The weight that can depart at once now.
    pub(crate) fn remaining(&mut self, cap: &Cap, now: Instant) -> u64 {
        match (self, cap.quota()) {
            (Self::Paced(gcra), Ok(quota)) => gcra.remaining(quota, now),
            (Self::Windowed(window), Ok(quota)) => window.remaining(quota, now),
            (Self::Slots(slots), Err(max)) => slots.remaining(max, now).into(),
            _ => 0,
        }
    }
}

/// The cost of one request is believed up to this many windows of quota.
const BELIEVED: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        quota::{at, settled},
        words::Span,
    };

    /// 600 tokens a minute, in each kind of quota.
    fn quotas() -> [Cap; 3] {
        let quota = Quota::per_minute(600).unwrap();
        let burst = quota.with_burst(100).unwrap();
        [quota, burst, quota.unpaced()].map(Cap::Tokens)
    }

    /// Limits from which `sent` tokens each departed, a second apart, from second 1 on.
    fn charged(cap: &Cap, sent: &[u64]) -> Bucket {
        let mut bucket = Bucket::new(cap);
        for (second, tokens) in (1..).zip(sent) {
            bucket.charge(cap, Weight(*tokens), at(second), at(second));
        }
        bucket
    }

    /// Exact within a hundredth of the interval.
    #[test]
    fn room_is_the_most_that_does_not_delay_a_request() {
        let (weight, ahead, now) = (Weight(1), Amount(3), at(2));
        for cap in quotas() {
            let before = charged(&cap, &[20, 30]);
            let paced = cap.quota().ok().filter(|quota| !quota.is_windowed());
            let slack = paced.map_or(Span::ZERO, |quota| quota.interval() / 100);
            for ms in [20_000, 61_200, 61_500] {
                let at = Instant::START + Span::millis(ms);
                let room = before.room(&cap, weight, ahead, at, now);
                for (more, expected) in [(room, true), (room + 1, false)] {
                    let mut bucket = before.clone();
                    bucket.charge(&cap, Weight(ahead.0 + more), now, now);
                    let departs = bucket.ask(&cap, weight, Amount(0), at + slack) == Admission::Now;
                    assert_eq!(departs, expected, "{cap:?} at {at:?}: {room}");
                }
            }
        }
    }

    #[test]
    fn a_request_is_ready_from_the_instant_at_which_it_was_let_go() {
        for cap in quotas() {
            let mut bucket = charged(&cap, &[600]);
            let Admission::At(at) = bucket.ask(&cap, Weight(1), Amount(0), at(1)) else {
                panic!("{cap:?} lets 601 go");
            };
            assert_eq!(
                bucket.ask(&cap, Weight(1), Amount(0), at + Span::SECOND),
                Admission::Now
            );
            assert_eq!(bucket.ready(&cap), at, "{cap:?}");
        }
    }

    #[test]
    fn a_request_of_no_tokens_leaves_no_trace() {
        for cap in quotas() {
            let mut bucket = charged(&cap, &[10]);
            let before = bucket.fresh_at(&cap);
            bucket.charge(&cap, Weight(0), at(30), at(30));
            assert_eq!(bucket.fresh_at(&cap), before, "{cap:?}");
        }
    }

    #[test]
    fn a_settled_request_counts_as_if_it_had_cost_that_at_first() {
        for cap in quotas() {
            for (from, to) in [(10, 15), (10, 4), (10, 10), (0, 5), (10, 0)] {
                let mut bucket = charged(&cap, &[20, from]);
                bucket.settle(&cap, at(2), settled(from, to), at(2));
                let mut expected = charged(&cap, &[20, to]);
                for now in [2, 3, 4, 30].map(at) {
                    let [bucket, expected] =
                        [&mut bucket, &mut expected].map(|bucket| bucket.remaining(&cap, now));
                    assert_eq!(bucket, expected, "{cap:?} {from} -> {to}");
                }
            }
        }
    }

    #[test]
    fn requests_of_one_instant_are_all_refunded() {
        for cap in quotas() {
            let mut bucket = Bucket::new(&cap);
            let new = bucket.remaining(&cap, at(1));
            for _ in 0..2 {
                bucket.charge(&cap, Weight(5), at(1), at(1));
            }
            for _ in 0..2 {
                bucket.settle(&cap, at(1), settled(5, 0), at(1));
            }
            assert_eq!(bucket.remaining(&cap, at(1)), new, "{cap:?}");
        }
    }

    #[test]
    fn a_quota_becomes_paced_or_unpaced_at_once() {
        let [paced, _, unpaced] = quotas();
        for (from, to, remaining) in [(&paced, &unpaced, 600), (&unpaced, &paced, 1)] {
            let mut bucket = charged(from, &[50]);
            bucket.rebase(from, to, at(2));
            // Earlier departures count.
            assert_ne!(
                bucket.ask(to, Weight(600), Amount(0), at(2)),
                Admission::Now
            );
            assert_eq!(bucket.remaining(to, at(200)), remaining);
        }
    }
}
