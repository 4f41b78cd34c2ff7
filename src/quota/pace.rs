use crate::words::{Instant, Span};

/// The instant at which the next request is due, of requests that are evenly spaced.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    pub(super) due: Instant,
    /// The instant of the last departure.
    pub(super) last: Instant,
}

impl Pace {
    /// Counts a departure that could have happened since `ready`, and puts the next one `apart` from it.
    ///
    /// Its lateness, up to `lateness`, is made up for. So is any lateness of earlier departures that has not
    /// been made up for: several departures may follow one late timer. A quiet time is not lateness.
    pub(super) fn depart(&mut self, apart: Span, lateness: Span, ready: Instant, now: Instant) {
        let behind = self.last - self.due;
        let fresh = now - self.last <= lateness;
        let late = now - ready + if fresh { behind } else { Span::ZERO };
        let on_time = now - late.min(lateness);
        self.due = self.due.max(on_time) + apart;
        self.last = self.last.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::START + Span::millis(ms)
    }

    const LATE: Span = Span::millis(50);

    /// Regression: ten thousand a second, by a timer of a millisecond. A request right after a late one was
    /// not late itself, and half of the quota was lost.
    #[test]
    fn faster_than_the_timer_several_depart_together() {
        let (mut pace, mut departed) = (Pace::default(), 0);
        for now in (0..1_000).map(at) {
            // The first request has waited. Each of the others follows as soon as the one before has
            // departed.
            let mut ready = pace.due;
            while pace.due <= now {
                pace.depart(Span::nanos(100_000), LATE, ready, now);
                departed += 1;
                ready = now;
            }
        }
        assert!((9_980..=10_000).contains(&departed), "{departed}");
    }

    #[test]
    fn a_quiet_time_is_nobody_s_lateness() {
        let mut pace = Pace::default();
        pace.depart(Span::millis(1), LATE, at(0), at(40));
        assert_eq!(pace.due, at(1));
        pace.depart(Span::millis(1), LATE, at(200), at(200));
        assert_eq!(pace.due, at(201));
    }
}
