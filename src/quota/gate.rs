use crate::words::{Instant, Span};

/// The pause of a lane after a server said "not now". No request departs until the instant that the server
/// named. After it requests depart one by one, slowly at first.
///
/// A rejection starts a pause only if its request was sent after the newest pause had started (quinn and RFC
/// 9002 tell a new loss from an old one in the same way). The rejection of a request sent before that instant
/// is a straggler, and can only lengthen the pause. Without that, one burst is punished once for each request
/// that was in flight.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    /// No request departs before this instant.
    until: Instant,
    /// No request departs before this instant either. For a while after a pause each departure moves it on.
    next: Instant,
    /// The start of the newest pause that a rejection caused, or 0. No two pauses start at the same instant.
    started: Instant,
    /// The number of requests sent since `started`.
    departed: u32,
    /// The number of pauses in a row that were too short.
    blocked: u32,
    /// The length of the slow restart.
    restart: Restart,
}

/// The restart after a pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Restart {
    /// Slow, since the rate that the server will take is unknown.
    #[default]
    Slow,
    /// Quick, since that rate is known: it took it before, or named it.
    Quick,
}

/// The state of a lane's gate when a request was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passage {
    /// The start of the newest pause, or 0.
    pub(crate) pause: Instant,
    /// The request's number among those sent after that pause, from 1; 0 if there was no gate yet.
    pub(crate) nth: u32,
}

/// The result of a rejection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rejection {
    /// The end of the lane's pause.
    pub(crate) until: Instant,
    pub(crate) news: News,
}

/// The information about the rate in a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// None: the request departed before the pause that another rejection caused.
    Nothing,
    /// The pause before it was too short.
    TooSoon,
    TooFast,
}

impl Gate {
    /// The instant before which no request may depart.
    pub(crate) fn next(&self) -> Instant {
        self.until.max(self.next)
    }

    /// The end of the lane's pause.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Counts a departure. `interval` is the shortest time between requests under the lane's own limits, if
    /// there is any.
    pub(crate) fn pass(&mut self, interval: Option<Span>, now: Instant) -> Passage {
        self.departed = self.departed.saturating_add(1);
        let since = now - self.until;
        let restart = self.restart.time();
        if since < restart {
            self.next = now + apart(interval, since, restart);
        }
        Passage {
            pause: self.started,
            nth: self.departed,
        }
    }

    /// The server rejected a request, and asked to wait for `wait` if that is not `None`.
    pub(crate) fn rejected(
        &mut self,
        sent: Passage,
        wait: Option<Span>,
        now: Instant,
    ) -> Rejection {
        if sent.pause < self.started {
            return Rejection {
                until: wait.map_or(self.until, |wait| self.pause(wait, now)),
                news: News::Nothing,
            };
        }
        let too_soon = self.started > Instant::START && sent.nth <= SOON;
        self.blocked = if too_soon { self.blocked + 1 } else { 0 };
        self.started = now.max(self.started + Span::nanos(1));
        self.departed = 0;
        let backoff = backoff(self.blocked);
        let wait = match wait {
            // After the first such rejection the server's wait is kept to as it is, since the request may
            // have been early by a hair.
            Some(wait) if self.blocked > 1 => wait.max(backoff / 2),
            Some(wait) => wait,
            None => backoff,
        };
        let stubborn = sent.nth > 1 && self.blocked % STUBBORN == 0;
        Rejection {
            until: self.pause(wait, now),
            news: match too_soon && !stubborn {
                true => News::TooSoon,
                false => News::TooFast,
            },
        }
    }

    /// Other processes have sent requests.
    #[cfg(feature = "redis")]
    pub(crate) fn others(&mut self, requests: u64) {
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        self.departed = self.departed.saturating_add(requests);
    }

    /// A rejection of another process has begun a pause.
    #[cfg(feature = "redis")]
    pub(crate) fn paused_elsewhere(&mut self, until: Instant, now: Instant) {
        let too_soon = self.started > Instant::START && self.departed <= SOON;
        self.blocked = if too_soon { self.blocked + 1 } else { 0 };
        self.started = now.max(self.started + Span::nanos(1));
        self.departed = 0;
        self.until = self.until.max(until);
    }

    /// Sets how the lane starts again after the pause that has just begun.
    pub(crate) fn restart(&mut self, restart: Restart) {
        self.restart = restart;
    }

    /// Pauses the lane for `wait`, unless it is paused for longer already. A wait is believed up to a bound.
    /// Returns the end of the pause.
    pub(crate) fn pause(&mut self, wait: Span, now: Instant) -> Instant {
        self.until = self.until.max(now + wait.min(LONGEST));
        self.until
    }

    /// The instant from which on this is no different from a new one.
    pub(crate) fn fresh_at(&self) -> Instant {
        (self.until + RESTART).max(self.next)
    }
}

impl Restart {
    fn time(self) -> Span {
        match self {
            Self::Slow => RESTART,
            Self::Quick => QUICK,
        }
    }
}

/// The time between departures, `since` after a pause: twice as long as the lane's limits ask, falling to
/// once. For a lane without an interval, 100 ms, halved every second.
fn apart(interval: Option<Span>, since: Span, restart: Span) -> Span {
    match interval {
        Some(interval) => {
            let extra = u128::from(interval.as_nanos()) * u128::from((restart - since).as_nanos())
                / u128::from(restart.as_nanos());
            interval + Span::nanos(u64::try_from(extra).unwrap_or(u64::MAX))
        }
        None => UNLIMITED / (1 << (since / Span::SECOND)),
    }
}

/// The pause where the server names none, or where the pause it named was too short.
fn backoff(blocked: u32) -> Span {
    Span::secs(1 << blocked.min(5)).min(Span::secs(30))
}

/// The length of a slow restart. It was simulated with a table of 750 a minute and a server that allows 600
/// (`simulation/tests/haste`). It helps with servers that count by the second: a bucket of ten, ten a second,
/// rejects 53 in ten minutes and gives 87 % of its quota. A restart at full pace has 135 rejections and 97 %,
/// a restart of 16 s has 32 and 85 %. Servers that count by the minute reject 14 to 20 with any of these.
pub(super) const RESTART: Span = Span::secs(8);

const QUICK: Span = Span::ZERO;

/// A rejection of one of the first this many requests after a pause says that the pause was too short, and
/// nothing new of the rate.
const SOON: u32 = 3;

/// After this many pauses in a row that were too short, the rate is too high.
const STUBBORN: u32 = 3;

const UNLIMITED: Span = Span::millis(100);

/// An hour. Beyond that, one rejected request costs less than waiting without need.
const LONGEST: Span = Span::secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::at;

    fn after(seconds: u64) -> Option<Span> {
        Some(Span::secs(seconds))
    }

    #[test]
    fn one_rejection_pauses_and_stragglers_only_lengthen_it() {
        let mut gate = Gate::default();
        let early = Passage::default();
        assert_eq!(gate.rejected(early, after(3), at(1)).until, at(4));
        // The request was sent before the pause. Shorter and unknown waits change nothing, a longer one
        // counts.
        assert_eq!(gate.rejected(early, after(1), at(2)).until, at(4));
        assert_eq!(gate.rejected(early, None, at(3)).until, at(4));
        assert_eq!(gate.rejected(early, after(5), at(3)).until, at(8));
        assert_eq!(gate.started, at(1));
        assert_eq!(gate.next(), at(8));
        // An unknown wait does not start the slow restart again either, once the pause is over.
        assert_eq!(gate.rejected(early, None, at(9)).until, at(8));
    }

    #[test]
    fn only_what_was_sent_after_the_newest_pause_started_is_news() {
        let mut gate = Gate::default();
        let before = [gate.pass(None, at(1)), gate.pass(None, at(1))];
        // All at one instant. The second pause starts a nanosecond after the first.
        let first = gate.rejected(before[0], after(0), at(1));
        let between = gate.pass(None, at(1));
        let second = gate.rejected(between, after(0), at(1));
        let last = gate.pass(None, at(1));
        assert_eq!([first.news, second.news], [News::TooFast, News::TooSoon]);
        assert_eq!([first.until, second.until], [at(1), at(1)]);
        for straggler in [before[1], between] {
            assert_eq!(gate.rejected(straggler, None, at(1)).news, News::Nothing);
        }
        assert_eq!(gate.rejected(last, after(1), at(1)).news, News::TooSoon);
        assert_eq!(gate.started, at(1) + Span::nanos(2));
    }

    #[test]
    fn without_a_hint_the_pause_doubles_while_the_lane_stays_blocked() {
        let mut gate = Gate::default();
        let mut now = Instant::START;
        let mut passage = Passage::default();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let until = gate.rejected(passage, None, now).until;
            assert_eq!(until - now, Span::secs(seconds));
            now = until;
            passage = gate.pass(None, now);
        }
        // After three accepted requests the count of short pauses starts again.
        for _ in 0..3 {
            passage = gate.pass(None, now);
        }
        assert_eq!(gate.rejected(passage, None, now).until - now, Span::SECOND);
    }

    #[test]
    fn what_the_server_says_is_lengthened_while_it_proves_too_short() {
        let mut gate = Gate::default();
        let (mut now, mut passage) = (Instant::START, Passage::default());
        let named = Span::millis(100);
        for (pause, news) in [
            (named, News::TooFast),
            (named, News::TooSoon),
            (Span::secs(2), News::TooSoon),
            (Span::secs(4), News::TooSoon),
        ] {
            let rejection = gate.rejected(passage, Some(named), now);
            assert_eq!((rejection.until - now, rejection.news), (pause, news));
            now = rejection.until;
            passage = gate.pass(None, now);
        }
        // A longer wait counts as it is.
        assert_eq!(
            gate.rejected(passage, after(60), now).until - now,
            Span::secs(60)
        );
    }

    #[test]
    fn where_several_pauses_were_too_short_it_is_the_rate() {
        let mut gate = Gate::default();
        gate.rejected(Passage::default(), after(1), at(0));
        let mut news = Vec::new();
        for _ in 0..3 {
            gate.pass(None, gate.until());
            let second = gate.pass(None, gate.until());
            news.push(gate.rejected(second, after(1), gate.until()).news);
        }
        assert_eq!(news, [News::TooSoon, News::TooSoon, News::TooFast]);
    }

    #[test]
    fn after_a_pause_they_depart_one_by_one_at_half_the_pace_and_then_at_their_own() {
        let interval = Span::millis(100);
        let mut gate = Gate::default();
        gate.rejected(Passage::default(), after(1), at(0));
        let mut now = gate.next();
        let mut departed = 0;
        gate.pass(Some(interval), now);
        assert_eq!(gate.next() - now, interval * 2);
        while now < at(9) {
            now = gate.next().max(now + interval);
            gate.pass(Some(interval), now);
            departed += 1;
        }
        // 80 would depart at full pace. A pace that grows from one half to the whole allows this many.
        assert!((54..=58).contains(&departed), "{departed}");
        // The slow restart is over, and the gate adds no delay.
        assert!(gate.next() <= now + interval);
    }

    #[test]
    fn where_nothing_is_limited_a_pause_does_not_end_with_everybody_at_once() {
        let mut gate = Gate::default();
        gate.rejected(Passage::default(), after(1), at(0));
        let mut now = gate.next();
        for _ in 0..10 {
            gate.pass(None, now);
            now = gate.next();
        }
        assert!(now >= at(2) - Span::millis(100));
        let apart = [0, 1, 2, 3, 8].map(|seconds| {
            let now = gate.until() + Span::secs(seconds);
            gate.pass(None, now);
            gate.next() - now
        });
        assert_eq!(
            apart,
            [100_000, 50_000, 25_000, 12_500, 0].map(|us| Span::nanos(us * 1_000))
        );
    }

    #[test]
    fn a_quick_restart_adds_nothing_between_requests() {
        let mut gate = Gate::default();
        gate.rejected(Passage::default(), after(1), at(0));
        gate.restart(Restart::Quick);
        for interval in [None, after(1)] {
            gate.pass(interval, gate.until());
            assert_eq!(gate.next(), at(1));
        }
    }

    #[test]
    fn no_server_pauses_a_lane_for_more_than_an_hour() {
        let mut gate = Gate::default();
        let until = gate
            .rejected(Passage::default(), after(u64::MAX), at(1))
            .until;
        assert_eq!(until, at(1) + LONGEST);
        gate.pause(Span::secs(u64::MAX), Instant::NEVER);
        assert_eq!(gate.fresh_at(), Instant::NEVER);
    }
}
