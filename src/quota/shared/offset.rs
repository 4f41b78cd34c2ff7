//! The ledger's clock, as far as a process knows it.

use super::ask::Stamp;
use crate::words::{Instant, Span};

/// The bounds of the difference between this process's clock and the ledger's.
///
/// A call that was sent at `a` and replied to at `b` with the instant `x` shows that the difference is between
/// `a - x` and `b - x`. That holds however the time was divided between the two ways. Each reply narrows the
/// bounds. Between replies they widen by what two clocks drift apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offset(Option<Bounds>);

/// In nanoseconds, of the local instant minus the ledger's.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    least: i128,
    most: i128,
    /// The local instant of the last reply.
    at: Instant,
}

impl Offset {
    /// The ledger's clock is this process's own.
    pub(crate) fn own() -> Self {
        Self(Some(Bounds {
            least: 0,
            most: 0,
            at: Instant::NEVER,
        }))
    }

    /// Whether the ledger is this process itself.
    pub(crate) fn is_own(&self) -> bool {
        self.0.is_some_and(|bounds| bounds.at == Instant::NEVER)
    }

    /// A call that was sent at `sent` was replied to at `got` with the ledger's instant `stamp`. Returns false
    /// if one of the clocks was changed, so that nothing known before holds.
    pub(crate) fn heard(&mut self, sent: Instant, got: Instant, stamp: Stamp) -> bool {
        let stamp = i128::from(stamp.as_nanos());
        // The ledger cuts its instant to a microsecond.
        let (least, most) = (nanos(sent) - stamp - MICRO, nanos(got) - stamp);
        let at = got;
        let before = self.at(got);
        let new = before.map(|before| Bounds {
            least: least.max(before.least),
            most: most.min(before.most),
            at,
        });
        let agrees = new.is_none_or(|new| new.least <= new.most);
        let newest = Bounds { least, most, at };
        self.0 = Some(new.filter(|_| agrees).unwrap_or(newest));
        agrees
    }

    /// The local instant before which an instant of the ledger has surely not come.
    pub(crate) fn surely_after(&self, nanos: u64, now: Instant) -> Option<Instant> {
        Some(instant(i128::from(nanos) + self.at(now)?.most))
    }

    /// The local instant after which an instant of the ledger may have passed.
    pub(crate) fn maybe_at(&self, nanos: u64, now: Instant) -> Option<Instant> {
        Some(instant(i128::from(nanos) + self.at(now)?.least))
    }

    /// The latest instant that the ledger's clock may show now.
    pub(crate) fn latest(&self, now: Instant) -> Option<Stamp> {
        let micros = (nanos(now) - self.at(now)?.least).max(0) / MICRO + 1;
        Some(Stamp(u64::try_from(micros).unwrap_or(u64::MAX)))
    }

    /// The width of the bounds.
    pub(crate) fn width(&self, now: Instant) -> Option<Span> {
        let Bounds { least, most, .. } = self.at(now)?;
        Some(Span::nanos(u64::try_from(most - least).unwrap_or(u64::MAX)))
    }

    /// The bounds now: wider than at the last reply.
    fn at(&self, now: Instant) -> Option<Bounds> {
        let mut bounds = self.0?;
        let drift = i128::from(((now - bounds.at) / DRIFT).as_nanos());
        bounds.least -= drift;
        bounds.most += drift;
        Some(bounds)
    }
}

fn nanos(instant: Instant) -> i128 {
    i128::from((instant - Instant::START).as_nanos())
}

fn instant(nanos: i128) -> Instant {
    let nanos = u64::try_from(nanos.max(0)).unwrap_or(u64::MAX);
    Instant::START + Span::nanos(nanos)
}

const MICRO: i128 = 1_000;

/// Two clocks drift apart by 1 in 5,000 at most: quartz drifts by 100 ppm at worst.
const DRIFT: u64 = 5_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The instant of a ledger whose clock reads `base` when this one starts, and runs faster by `ppm`.
    fn ledger(base: u64, ppm: i64, local: u64) -> Stamp {
        let drift = i128::from(local) * i128::from(ppm) / 1_000_000;
        Stamp(((i128::from(base) + i128::from(local) + drift) / MICRO) as u64)
    }

    proptest! {
        /// Whatever the delays of the two ways and the drift, no instant is taken for past before it is.
        #[test]
        fn an_instant_is_never_early_and_the_bounds_hold(
            base in 1_700_000_000_000_000_000_u64..1_800_000_000_000_000_000,
            ppm in -90_i64..90,
            calls in prop::collection::vec((0_u64..50_000_000, 0_u64..50_000_000, 0_u64..2_000_000_000), 1..30),
        ) {
            let mut offset = Offset::default();
            let mut local = 0_u64;
            for (there, back, pause) in calls {
                let at = |nanos| Instant::START + Span::nanos(nanos);
                let sent = local;
                let stamp = ledger(base, ppm, sent + there);
                local += there + back;
                prop_assert!(offset.heard(at(sent), at(local), stamp));
                local += pause;
                // The true instant at which the ledger shows `stamp`, some time later.
                let later = local + 100_000_000;
                let stamp = ledger(base, ppm, later);
                let earliest = offset.surely_after(stamp.as_nanos() + 1_000, at(local)).unwrap();
                prop_assert!(earliest + Span::nanos(20_000) >= at(later), "{earliest:?} {later}");
                let latest = offset.maybe_at(stamp.as_nanos(), at(local)).unwrap();
                prop_assert!(latest <= at(later) + Span::nanos(20_000));
                prop_assert!(offset.latest(at(local)).unwrap() >= ledger(base, ppm, local));
            }
        }
    }

    #[test]
    fn a_clock_that_was_set_is_noticed_and_the_newest_reply_counts() {
        let at = |ms| Instant::START + Span::millis(ms);
        let mut offset = Offset::default();
        assert!(offset.heard(at(10), at(11), Stamp(1_000_000)));
        assert!(!offset.heard(at(20), at(21), Stamp(9_000_000)));
        assert!(offset.heard(at(30), at(31), Stamp(9_010_000)));
        let width = offset.width(at(31)).unwrap();
        assert!(width <= Span::millis(2), "{width:?}");
    }
}
