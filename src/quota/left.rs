/// How many more a server says that it takes, until an instant that it names.
///
/// Once they have left, the next waits until then. Spreading what is left over that time would be of no
/// use: a bucket refills meanwhile, and of a window others may send too, of whom each would leave all the
/// rest to the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left {
    /// When the request left whose answer said so.
    told: Option<u64>,
    until: u64,
    left: u64,
}

impl Left {
    /// The answer to one that left at `at` said that `left` more may leave in the next `time`, and as
    /// much as `since` has left after it.
    ///
    /// It is about the time when it was answered, of which only this is known: not before it left.
    /// What takes long to answer says nothing new.
    pub(crate) fn told(&mut self, left: u64, time: u64, at: u64, since: u64) {
        if self.told.is_some_and(|told| at < told) {
            return;
        }
        self.told = Some(at);
        self.until = at.saturating_add(time.min(LONGEST));
        self.left = left.saturating_sub(since);
    }

    /// The instant before which the next may not leave.
    pub(crate) fn next(&self) -> u64 {
        match self.left {
            0 => self.until,
            _ => 0,
        }
    }

    /// One leaves.
    pub(crate) fn leave(&mut self, weight: u64) {
        self.left = self.left.saturating_sub(weight);
    }
}

/// An hour: beyond that, asking once in vain costs less than waiting for nothing.
const LONGEST: u64 = 3_600_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn nothing_left_waits_for_the_reset() {
        let mut left = Left::default();
        assert_eq!(left.next(), 0);
        left.told(0, 5 * SECOND, SECOND, 0);
        assert_eq!(left.next(), 6 * SECOND);
    }

    #[test]
    fn what_has_left_since_the_answer_is_not_left_again() {
        let mut left = Left::default();
        // Of ten, eight have left since.
        left.told(10, 60 * SECOND, 0, 8);
        for _ in 0..2 {
            assert_eq!(left.next(), 0);
            left.leave(1);
        }
        assert_eq!(left.next(), 60 * SECOND);
    }

    #[test]
    fn an_older_answer_does_not_overrule_a_newer_one() {
        let mut left = Left::default();
        left.told(0, 5 * SECOND, 2 * SECOND, 0);
        left.told(0, 50 * SECOND, SECOND, 9);
        assert_eq!(left.next(), 7 * SECOND);
        left.told(1_000, SECOND, 3 * SECOND, 0);
        assert_eq!(left.next(), 0);
        // Of two requests sent at one instant, the later response counts.
        left.told(0, SECOND, 3 * SECOND, 0);
        assert_eq!(left.next(), 4 * SECOND);
    }

    #[test]
    fn an_absurd_time_is_an_hour_and_nothing_overflows() {
        let mut left = Left::default();
        left.told(0, u64::MAX, SECOND, u64::MAX);
        assert_eq!(left.next(), LONGEST + SECOND);
        left.told(u64::MAX, u64::MAX, u64::MAX, 0);
        left.leave(u64::MAX);
        assert_eq!(left.next(), u64::MAX);
    }
}
