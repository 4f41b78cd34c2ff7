use crate::words::{Count, Instant, Span, Weight};

/// How many more a server says that it takes, until an instant that it names.
///
/// Once they have left, the next waits until then. Spreading what is left over that time would be of no
/// use: a bucket refills meanwhile, and of a window others may send too, of whom each would leave all the
/// rest to the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left {
    /// When the request left whose answer said so.
    told: Option<Instant>,
    until: Instant,
    left: Count,
}

impl Left {
    /// The answer to one that left at `at` said that `left` more may leave in the next `time`, and as
    /// much as `since` has left after it.
    ///
    /// It is about the time when it was answered, of which only this is known: not before it left.
    /// What takes long to answer says nothing new.
    pub(crate) fn told(&mut self, left: Count, time: Span, at: Instant, since: Weight) {
        if self.told.is_some_and(|told| at < told) {
            return;
        }
        self.told = Some(at);
        self.until = at + time.min(LONGEST);
        self.left = left - since;
    }

    /// The instant before which the next may not leave.
    pub(crate) fn next(&self) -> Instant {
        match self.left {
            Count(0) => self.until,
            _ => Instant::START,
        }
    }

    /// One leaves.
    pub(crate) fn leave(&mut self, weight: Weight) {
        self.left = self.left - weight;
    }
}

/// An hour: beyond that, asking once in vain costs less than waiting for nothing.
const LONGEST: Span = Span::secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::at;

    const SECOND: Span = Span::SECOND;

    #[test]
    fn nothing_left_waits_for_the_reset() {
        let mut left = Left::default();
        assert_eq!(left.next(), at(0));
        left.told(Count(0), Span::secs(5), at(1), Weight(0));
        assert_eq!(left.next(), at(6));
    }

    #[test]
    fn what_has_left_since_the_answer_is_not_left_again() {
        let mut left = Left::default();
        // Of ten, eight have left since.
        left.told(Count(10), Span::secs(60), at(0), Weight(8));
        for _ in 0..2 {
            assert_eq!(left.next(), at(0));
            left.leave(Weight(1));
        }
        assert_eq!(left.next(), at(60));
    }

    #[test]
    fn an_older_answer_does_not_overrule_a_newer_one() {
        let mut left = Left::default();
        left.told(Count(0), Span::secs(5), at(2), Weight(0));
        left.told(Count(0), Span::secs(50), at(1), Weight(9));
        assert_eq!(left.next(), at(7));
        left.told(Count(1_000), SECOND, at(3), Weight(0));
        assert_eq!(left.next(), at(0));
        // Of two requests sent at one instant, the later response counts.
        left.told(Count(0), SECOND, at(3), Weight(0));
        assert_eq!(left.next(), at(4));
    }

    #[test]
    fn an_absurd_time_is_an_hour_and_nothing_overflows() {
        let mut left = Left::default();
        left.told(Count(0), Span::secs(u64::MAX), at(1), Weight(u64::MAX));
        assert_eq!(left.next(), at(1) + LONGEST);
        left.told(
            Count(u64::MAX),
            Span::secs(u64::MAX),
            Instant::NEVER,
            Weight(0),
        );
        left.leave(Weight(u64::MAX));
        assert_eq!(left.next(), Instant::NEVER);
    }
}
