mod cut;
mod scattered;

use self::scattered::Scattered;
use super::{
    gate::{News, RESTART},
    pace::Pace,
    probe::{Probe, Standing},
    sent::Sent,
};
use crate::words::{Instant, Settled, Span, Unit, Weight};

/// The pace that a server really allows one lane, learned from its rejections and from the limits that it
/// names.
///
/// It falls when a request sent after the newest pause is rejected, to the rate that the server took in the
/// time before. It is probed upward while the pace, and not the demand, delays requests. Until there is a
/// reason to lead, the table does, and this only measures.
///
/// Rates are in requests, or in tokens, per second. A request weighs its tokens.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    of: Unit,
    /// The instant since which departures are charged. Earlier requests have cost it nothing.
    since: Instant,
    rate: f64,
    /// The pace, kept whether or not it leads.
    pace: Pace,
    leads: bool,
    ceiling: f64,
    /// The rate that the table allows.
    table: f64,
    /// The part of a named limit that the server really grants, judged by its rejections.
    trim: f64,
    /// The departure of the request whose response named the limit.
    named: Option<Instant>,
    probe: Probe,
    sent: Sent,
    scattered: Scattered,
    /// The mean weight of a request, and the number of requests that it is known from.
    one: (f64, u32),
    /// The instant of the last cut.
    cut: Instant,
    /// The instant at which the server last gave a reason for the rate, or at which the rate was last raised
    /// to probe.
    known: Instant,
    last: Instant,
    /// The rate at the last [`change`](Self::change).
    changed: f64,
    /// The limit that the server named.
    limit: f64,
    /// Whether the server rejects requests at a small part of the limit that it names.
    distrusts: bool,
    /// The instant of the last step towards a higher named limit.
    raised: Instant,
}

impl Rate {
    /// Measures a lane whose table allows `rate` a second, and which must not exceed `ceiling`.
    pub(crate) fn new(of: Unit, rate: f64, ceiling: f64, now: Instant) -> Self {
        let rate = rate.min(ceiling).min(FASTEST);
        Self {
            of,
            since: now,
            rate,
            pace: Pace::default(),
            leads: false,
            ceiling,
            table: rate,
            trim: 1.0,
            named: None,
            probe: Probe::new(rate, now),
            sent: Sent::default(),
            scattered: Scattered::default(),
            one: (1.0, 0),
            cut: Instant::START,
            known: now,
            last: now,
            changed: 0.0,
            limit: 0.0,
            distrusts: false,
            raised: Instant::START,
        }
    }

    /// Whether this paces the lane, instead of the numbers that this crate supplied.
    pub(crate) fn leads(&self) -> bool {
        self.leads
    }

    /// The rate, if this leads and it is a quarter above or below what it was at the last change.
    pub(crate) fn change(&mut self) -> Option<f64> {
        let change = self.rate > self.changed * MUCH || self.rate < self.changed / MUCH;
        (self.leads && change).then(|| {
            self.changed = self.rate;
            self.rate
        })
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.rate
    }

    /// The time between requests of weight 1, if this leads.
    pub(crate) fn interval(&self) -> Option<Span> {
        Some(self.apart(Weight(1))).filter(|apart| self.leads && *apart > Span::ZERO)
    }

    /// The instant before which the next request may not depart, after `ahead` others.
    pub(crate) fn next(&self, ahead: u64) -> Instant {
        if !self.leads {
            return Instant::START;
        }
        self.pace.due + self.apart(Weight(1)) * ahead
    }

    /// Counts a departure that could have happened since `ready`. `delayed` tells whether the pace delayed it. Returns
    /// whether its response is worth knowing.
    pub(crate) fn depart(
        &mut self,
        weight: Weight,
        delayed: bool,
        ready: Instant,
        now: Instant,
    ) -> bool {
        if self.leads && now - self.known > REMEMBERED {
            self.forget(now);
        }
        self.pace.depart(self.apart(weight), LATE, ready, now);
        self.bound(now);
        self.sent.add(weight, now);
        let (mean, seen) = &mut self.one;
        *seen = (*seen + 1).min(USUAL);
        *mean += (weight.0 as f64 - *mean) / f64::from(*seen);
        self.last = now;
        self.probe.depart(delayed, now);
        let due = match self.leads {
            true => self.probe.step_after(self.standing(now), now),
            false => FIRST,
        };
        if self.probe.age(now) >= due {
            self.look_up(now);
        }
        self.probe.is_witness(now)
    }

    /// Counts what other processes have sent under the same limits.
    pub(crate) fn others(&mut self, weight: Weight, now: Instant) {
        self.sent.add(weight, now);
    }

    /// Takes over the pace that another process has learned; `None` if the table leads.
    #[cfg(feature = "redis")]
    pub(crate) fn follow(&mut self, per_second: Option<f64>, now: Instant) {
        self.leads = per_second.is_some();
        self.set(per_second.unwrap_or(self.table), now);
        self.known = now;
        self.probe.reset(now);
    }

    /// The pace for the other processes; `None` if the table leads.
    #[cfg(feature = "redis")]
    pub(crate) fn published(&self) -> Option<f64> {
        self.leads.then_some(self.rate)
    }

    /// Settles the weight of a request that departed at `at`. Nothing is given back for a request that
    /// departed before this was charged.
    pub(crate) fn settle(&mut self, at: Instant, settled: Settled, now: Instant) {
        let Settled { from, to } = settled;
        if to < from && at < self.since {
            return;
        }
        self.sent.settle(at, settled);
        if to < from {
            // A late refund could be sent at once. It must not be too much for the last minute.
            let room = match now - at <= RECENT {
                true => u64::MAX,
                false => ((self.rate - self.sent.mean(60, now)).max(0.0) * 60.0) as u64,
            };
            let refund = self.apart(Weight((from.0 - to.0).min(room)));
            self.pace.due = self.pace.due - refund;
            return;
        }
        // `due` must not begin before the departure, since a quiet time would pay for the extra cost
        // otherwise.
        let due = self.pace.due.max(at - LATE);
        self.pace.due = due + (self.apart(to) - self.apart(from));
        self.bound(now);
    }

    /// The server rejected a request of this weight that departed at `at`, and the lane is paused for `wait`.
    /// Returns whether the rate that the server will take after that is known.
    pub(crate) fn rejected(
        &mut self,
        at: Instant,
        weight: Weight,
        wait: Span,
        news: News,
        now: Instant,
    ) -> bool {
        self.sent.settle(at, Settled::rejected(weight));
        if wait > LONG_WAIT || news == News::TooSoon {
            self.probe.counts_by_minute(now);
        }
        match news {
            News::TooFast => return self.too_fast(wait, now),
            News::TooSoon => self.probe.start(now + wait + RESTART),
            News::Alone(among) => self.alone(among, now),
            News::Retried => self.retried(now),
            News::Nothing => {}
        }
        false
    }

    /// Whether the rate is nearly the one that the user wrote.
    fn is_near_ceiling(&self) -> bool {
        self.rate >= self.ceiling * NEARLY
    }

    /// The server named its limit, in the response to a request that departed at `at`.
    pub(crate) fn named(&mut self, limit: f64, at: Instant, now: Instant) {
        if !limit.is_finite() || limit <= 0.0 || self.named.is_some_and(|named| at < named) {
            return;
        }
        self.distrusts &= limit * LEAST_PART > self.rate;
        if self.distrusts {
            return;
        }
        (self.named, self.limit) = (Some(at), limit);
        // The trim after rejections lowers the user's ceiling too, and not only the limit that the server
        // names.
        let rate = ((limit * SPREAD).min(self.ceiling) * self.trim).clamp(SLOWEST, FASTEST);
        if rate > self.rate * RAISED {
            // A limit in another unit is found out by a few rejections.
            if now - self.raised >= Span::SECOND {
                self.raised = now;
                self.set(self.rate * RAISED, now);
                self.probe.reset(now);
            }
            (self.leads, self.known) = (true, now);
            return;
        }
        if !self.leads || (rate / self.rate - 1.0).abs() > SAME {
            self.set(rate, now);
            self.probe.reset(now);
        }
        self.leads = true;
        self.known = now;
    }

    /// The instant of the last departure.
    pub(crate) fn last(&self) -> Instant {
        self.last
    }

    /// The instant from which on nothing learned is worth remembering.
    pub(crate) fn fresh_at(&self) -> Instant {
        match self.leads {
            true => (self.known + REMEMBERED).max(self.pace.due),
            false => Instant::START,
        }
    }

    /// A request that departed lately has failed.
    pub(crate) fn failed(&mut self) {
        self.probe.failed();
    }

    /// A witness had a response.
    pub(crate) fn responded(&mut self) {
        self.probe.responded();
    }

    /// Looks for a higher rate after a time without a cut. An outage causes no cuts either.
    fn look_up(&mut self, now: Instant) {
        if self.probe.is_unproven() {
            self.probe.start(now);
            return;
        }
        let was_delayed = self.probe.was_delayed();
        if was_delayed {
            self.probe.went_well(self.sent.mean(60, now), now);
        }
        if self.is_named(now) {
            if was_delayed && self.trim < 1.0 {
                let before = self.trim;
                let more = match before {
                    ..SHARED => SHARED_MORE,
                    ..NEARLY => REGAINED,
                    _ if self.of == Unit::Tokens => TOKENS_UNTRIMMED,
                    _ => UNTRIMMED,
                };
                self.trim = (before + more).min(1.0);
                self.set(self.rate * self.trim / before, now);
            }
            self.probe.start(now);
        } else if was_delayed && self.leads && self.rate < self.ceiling && self.is_near_ceiling() {
            self.known = now;
            self.set(self.rate + self.ceiling * UNTRIMMED, now);
            self.probe.reset(now);
        } else if was_delayed && self.rate < self.ceiling {
            (self.leads, self.known) = (true, now);
            let next = self.probe.step(self.standing(now), now);
            self.set(next, now);
        } else {
            self.probe.reset(now);
        }
    }

    fn standing(&self, now: Instant) -> Standing {
        Standing {
            rate: self.rate,
            table: self.table,
            one: self.one.0,
            shared: self.share(now) < SHARED,
            named: self.is_named(now),
        }
    }

    /// The part of the limit that the lane has, if the limit is known: named by the server, or written by the
    /// user. If it is much less than 1, others have the rest.
    fn share(&self, now: Instant) -> f64 {
        match self.is_named(now) {
            true => self.trim,
            false if self.ceiling.is_finite() => self.rate / self.ceiling,
            false => 1.0,
        }
    }

    /// Whether the server has named its limit lately.
    fn is_named(&self, now: Instant) -> bool {
        self.named.is_some_and(|at| now - at < FRESH)
    }

    /// Continues at another rate. Debt is paid at the new rate.
    fn set(&mut self, rate: f64, now: Instant) {
        let rate = rate.min(self.ceiling).max(SLOWEST.min(self.ceiling));
        let owed = (self.pace.due - now).as_nanos() as f64 * self.rate / rate;
        if owed > 0.0 {
            self.pace.due = now + Span::nanos(owed as u64);
        }
        self.rate = rate;
        self.bound(now);
    }

    /// Starts anew, since the server's last word on the rate is too old to count.
    fn forget(&mut self, now: Instant) {
        let (pace, since) = (self.pace.clone(), self.since);
        *self = Self::new(self.of, self.table, self.ceiling, now);
        (self.pace, self.since) = (pace, since);
    }

    /// Bounds the wait, whatever is owed. While nothing is sent the server cannot correct the rate.
    fn bound(&mut self, now: Instant) {
        self.pace.due = self.pace.due.min(now + REMEMBERED);
    }

    fn apart(&self, weight: Weight) -> Span {
        Span::nanos((weight.0 as f64 * SECOND / self.rate) as u64).min(REMEMBERED)
    }
}

const MUCH: f64 = 1.25;
const SECOND: f64 = 1e9;

/// A departure may be this late without delaying those after it.
const LATE: Span = Span::millis(50);

/// Refunds of requests that departed this recently are a small part of any minute. With less, servers that
/// count tokens strictly gave up to 2 % less of their limit (`simulation/tests/tokens`).
const RECENT: Span = Span::secs(10);

/// A limit that was lowered is raised by a part of it after it went well for a while: little at first, and faster if it
/// was lowered far.
const UNTRIMMED: f64 = 0.005;
const REGAINED: f64 = 0.02;
const NEARLY: f64 = 0.9;
const TOKENS_UNTRIMMED: f64 = 0.01;
/// A named limit is not trusted once the server rejects requests at less than this part of it, as if it counted in
/// another unit. Up to twenty programs may share a limit.
const LEAST_PART: f64 = 0.05;
/// A higher named limit is approached by this factor a second.
const RAISED: f64 = 2.0;

/// A lane with less than this part of a limit shares it with others. All then add the same amount, and give
/// up a part of their rate on a rejection. That makes them equal. With a smaller part, or more added, they
/// become equal later or are rejected more often (`simulation/tests/learning`, four processes).
const SHARED: f64 = 0.55;
const SHARED_MORE: f64 = 0.015;

/// A server counts by the minute if it asks for a longer wait than a bucket would.
const LONG_WAIT: Span = Span::secs(3);

/// The network's spread, as in a quota: 200 ms in a minute.
const SPREAD: f64 = 60.0 / 60.2;

/// A limit that was named longer ago than this may have moved.
const FRESH: Span = Span::secs(60);

/// Smaller differences come from rounding.
const SAME: f64 = 1e-3;

/// The table is believed for a minute of work. After that it may be too low.
const FIRST: Span = Span::secs(60);

/// One an hour, and a token a nanosecond.
const SLOWEST: f64 = 1.0 / 3_600.0;
const FASTEST: f64 = 1e9;

/// The number of requests over which the mean weight is taken.
const USUAL: u32 = 64;

/// The learned rate is forgotten after an hour in which nothing confirmed or changed it.
const REMEMBERED: Span = Span::secs(3_600);

#[cfg(test)]
mod tests;
