use crate::words::{Amount, Instant, Span, Weight};

/// The number of requests or tokens that a server says it still takes, until an instant that it names.
///
/// After that many the next one waits until the instant. Spreading them over the time would be of no use. A
/// bucket refills meanwhile. In a window that several programs share, each would leave the rest to the
/// others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remaining {
    /// The departure of the request whose response named it.
    named: Option<Instant>,
    until: Instant,
    remaining: Amount,
}

impl Remaining {
    /// The response to a request that departed at `at` named `remaining`, for the next `time`.
    /// `since` has departed after that request.
    ///
    /// The numbers were true at the response's instant on the server, which is only known to be no earlier
    /// than the departure. A response that took long says nothing new.
    pub(crate) fn named(&mut self, remaining: Amount, time: Span, at: Instant, since: Weight) {
        if self.named.is_some_and(|named| at < named) {
            return;
        }
        self.named = Some(at);
        self.until = at + time.min(LONGEST);
        self.remaining = remaining - since;
    }

    /// The instant before which the next request may not depart.
    pub(crate) fn next(&self) -> Instant {
        match self.remaining {
            Amount(0) => self.until,
            _ => Instant::START,
        }
    }

    /// Counts a departure.
    pub(crate) fn depart(&mut self, weight: Weight) {
        self.remaining = self.remaining - weight;
    }
}

/// An hour. Beyond that, one rejected request costs less than waiting without need.
const LONGEST: Span = Span::secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::at;

    const SECOND: Span = Span::SECOND;

    #[test]
    fn nothing_remaining_waits_for_the_reset() {
        let mut remaining = Remaining::default();
        assert_eq!(remaining.next(), at(0));
        remaining.named(Amount(0), Span::secs(5), at(1), Weight(0));
        assert_eq!(remaining.next(), at(6));
    }

    #[test]
    fn departures_since_the_response_no_longer_remain() {
        let mut remaining = Remaining::default();
        // Eight of the ten have departed since.
        remaining.named(Amount(10), Span::secs(60), at(0), Weight(8));
        for _ in 0..2 {
            assert_eq!(remaining.next(), at(0));
            remaining.depart(Weight(1));
        }
        assert_eq!(remaining.next(), at(60));
    }

    #[test]
    fn an_older_response_does_not_overrule_a_newer_one() {
        let mut remaining = Remaining::default();
        remaining.named(Amount(0), Span::secs(5), at(2), Weight(0));
        remaining.named(Amount(0), Span::secs(50), at(1), Weight(9));
        assert_eq!(remaining.next(), at(7));
        remaining.named(Amount(1_000), SECOND, at(3), Weight(0));
        assert_eq!(remaining.next(), at(0));
        // The later response counts if two requests departed at the same instant.
        remaining.named(Amount(0), SECOND, at(3), Weight(0));
        assert_eq!(remaining.next(), at(4));
    }

    #[test]
    fn an_absurd_time_is_an_hour_and_nothing_overflows() {
        let mut remaining = Remaining::default();
        remaining.named(Amount(0), Span::secs(u64::MAX), at(1), Weight(u64::MAX));
        assert_eq!(remaining.next(), at(1) + LONGEST);
        remaining.named(
            Amount(u64::MAX),
            Span::secs(u64::MAX),
            Instant::NEVER,
            Weight(0),
        );
        remaining.depart(Weight(u64::MAX));
        assert_eq!(remaining.next(), Instant::NEVER);
    }
}
