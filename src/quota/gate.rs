use crate::words::{Instant, Span};

/// The pause of a lane after a server said "not now". No request departs until the instant that the server
/// named. After it requests depart one by one, slowly at first.
///
/// A rejection starts a pause only if its request was sent after the newest pause had started (quinn and RFC
/// 9002 tell a new loss from an old one in the same way). The rejection of a request sent before that instant
/// is a straggler, and can only lengthen the pause. Without that, one burst is punished once for each request
/// that was in flight.
///
/// A rejection that is alone among many requests starts no pause. Nor does that of a retry while first attempts are
/// accepted: it tells of its own request, and of no other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    /// No request departs before this instant.
    until: Instant,
    /// No request departs before this instant either. For a while after a pause each departure moves it on.
    next: Instant,
    /// The start of the newest pause that a rejection caused, or 0. No two pauses start at the same instant.
    started: Instant,
    /// The number of requests sent since `started`, and how many of them were first attempts.
    departed: u32,
    firsts: u32,
    /// The number of requests sent when a rejection was last alone.
    alone_at: u32,
    /// The number of first attempts sent when the rejection of a retry last started no pause, and that of such
    /// rejections since the last first attempt.
    retried: (u32, u32),
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
    /// The request's number among those sent after that pause, from 1.
    pub(crate) nth: u32,
    /// The number of first attempts among those and this one.
    pub(crate) firsts: u32,
}

/// The rejections that start no pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spares {
    Nothing,
    /// That of a retry among first attempts.
    Retry,
    /// One that comes after at least so many other requests.
    Alone(u32),
}

/// The result of a rejection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rejection {
    /// The end of the lane's newest pause.
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
    /// It was alone among so many requests.
    Alone(u32),
    /// It was a retry, and others were accepted.
    Retried,
}

impl News {
    /// Whether the rejection pauses its lane.
    pub(crate) fn pauses(self) -> bool {
        !matches!(self, Self::Alone(_) | Self::Retried)
    }
}

impl Gate {
    /// The gate of a lane from which so many requests have departed.
    pub(crate) fn after(departed: u32) -> Self {
        Self {
            departed,
            firsts: departed,
            ..Self::default()
        }
    }

    /// The instant before which no request may depart.
    pub(crate) fn next(&self) -> Instant {
        self.until.max(self.next)
    }

    /// The end of the lane's pause.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Counts a departure, of a retry or of a first attempt. `interval` is the shortest time between requests under the
    /// lane's own limits, if there is any.
    pub(crate) fn pass(&mut self, retry: bool, interval: Option<Span>, now: Instant) -> Passage {
        self.departed = self.departed.saturating_add(1);
        self.firsts = self.firsts.saturating_add(u32::from(!retry));
        let since = now - self.until;
        let restart = self.restart.time();
        if self.until > Instant::START && since < restart {
            self.next = now + apart(interval, since, restart);
        }
        Passage {
            pause: self.started,
            nth: self.departed,
            firsts: self.firsts,
        }
    }

    /// The server rejected a request, and asked to wait for `wait` if that is not `None`.
    pub(crate) fn rejected(
        &mut self,
        sent: Passage,
        wait: Option<Span>,
        spares: Spares,
        now: Instant,
    ) -> Rejection {
        if sent.pause < self.started {
            return Rejection {
                until: wait.map_or(self.until, |wait| self.pause(wait, now)),
                news: News::Nothing,
            };
        }
        if let Some(news) = self.spared(sent, spares) {
            let until = self.until;
            return Rejection { until, news };
        }
        let too_soon = self.begin(sent.nth, now);
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
        self.begin(self.departed, now);
        self.until = self.until.max(until);
    }

    /// Begins a pause, since the `nth` request after the last one was rejected. Returns whether the last one was too
    /// short.
    fn begin(&mut self, nth: u32, now: Instant) -> bool {
        let too_soon = self.started > Instant::START && nth <= SOON;
        self.blocked = if too_soon { self.blocked + 1 } else { 0 };
        self.started = now.max(self.started + Span::nanos(1));
        (self.departed, self.firsts) = (0, 0);
        (self.alone_at, self.retried) = (0, (0, 0));
        too_soon
    }

    /// The news of a rejection that starts no pause; `None` if it starts one.
    fn spared(&mut self, sent: Passage, spares: Spares) -> Option<News> {
        let among = sent.nth.saturating_sub(self.alone_at);
        match spares {
            Spares::Retry if sent.firsts > SOON => {
                let (firsts, many) = self.retried;
                let many = if sent.firsts == firsts { many + 1 } else { 1 };
                self.retried = (sent.firsts, many);
                // Where only retries are left, their rejections are news of the lane.
                (many <= SOON).then_some(News::Retried)
            }
            Spares::Alone(least) if among >= least => {
                self.alone_at = self.departed;
                Some(News::Alone(among))
            }
            _ => None,
        }
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
/// rejects 51 in ten minutes and gives 87 % of its quota. A restart at full pace has 135 rejections and 97 %,
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
mod tests;
