use super::{
    gate::{News, RESTART},
    pace::Pace,
    probe::{Probe, Standing},
    sent::Sent,
};
use crate::words::{Instant, Settled, Span, Unit, Weight};

/// The pace that a server really allows one lane: learned from what it refuses, and from what it says
/// of its limits.
///
/// It falls when a request sent after the newest pause is rejected, to what the server took in the time
/// before, and is probed upward while it, and not the demand, keeps requests back. Until there is a reason
/// to lead, the table does, and this only watches.
///
/// Rates are requests per second, or tokens, which a request weighs.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    of: Unit,
    /// Since when it is charged. A request that left before has cost it nothing.
    since: Instant,
    rate: f64,
    /// Kept whether or not it is this that paces.
    pace: Pace,
    leads: bool,
    ceiling: f64,
    /// What the table allows.
    table: f64,
    /// The part of a limit that the server names which it really grants, as far as its refusals tell.
    trim: f64,
    /// When the request left whose answer named the limit.
    told: Option<Instant>,
    probe: Probe,
    sent: Sent,
    /// What one weighs, on average, and of how many that is known.
    one: (f64, u32),
    /// When it was last cut.
    cut: Instant,
    /// When the server last gave a reason for it, or it was raised to see whether there is more.
    known: Instant,
    last: Instant,
}

impl Rate {
    /// Watches a lane whose table allows so many a second, and never more than `ceiling`.
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
            told: None,
            probe: Probe::new(rate, now),
            sent: Sent::default(),
            one: (1.0, 0),
            cut: Instant::START,
            known: now,
            last: now,
        }
    }

    /// Whether it is this that paces the lane, and not the numbers that this crate supplied.
    pub(crate) fn leads(&self) -> bool {
        self.leads
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.rate
    }

    /// How far apart it keeps those of weight 1, if it leads.
    pub(crate) fn interval(&self) -> Option<Span> {
        Some(self.apart(Weight(1))).filter(|apart| self.leads && *apart > Span::ZERO)
    }

    /// The instant before which the next may not leave, after `ahead` others.
    pub(crate) fn next(&self, ahead: u64) -> Instant {
        if !self.leads {
            return Instant::START;
        }
        self.pace.due + self.apart(Weight(1)) * ahead
    }

    /// One leaves that could have left since `ready`, and that the pace kept back, or not. Returns whether it is
    /// worth knowing that it had a response.
    pub(crate) fn leave(
        &mut self,
        weight: Weight,
        held: bool,
        ready: Instant,
        now: Instant,
    ) -> bool {
        if self.leads && now - self.known > REMEMBERED {
            self.forget(now);
        }
        self.pace.leave(self.apart(weight), LATE, ready, now);
        self.bound(now);
        self.sent.add(weight, now);
        let (mean, seen) = &mut self.one;
        *seen = (*seen + 1).min(USUAL);
        *mean += (weight.0 as f64 - *mean) / f64::from(*seen);
        self.last = now;
        self.probe.leave(held, now);
        let hold = match self.leads {
            true => self.probe.hold(self.standing(now), now),
            false => FIRST,
        };
        if self.probe.age(now) >= hold {
            self.look_up(now);
        }
        self.probe.is_witness(now)
    }

    /// Settles what one that left at `at` weighed. Of one that left before this was charged nothing comes back.
    pub(crate) fn settle(&mut self, at: Instant, settled: Settled, now: Instant) {
        let Settled { from, to } = settled;
        if to < from && at < self.since {
            return;
        }
        self.sent.settle(at, settled);
        if to < from {
            // Sent at once, what comes back late must not be too much for the last minute.
            let room = match now - at <= RECENT {
                true => u64::MAX,
                false => ((self.rate - self.sent.mean(60, now)).max(0.0) * 60.0) as u64,
            };
            let refund = self.apart(Weight((from.0 - to.0).min(room)));
            self.pace.due = self.pace.due - refund;
            return;
        }
        // Nothing may be due from before it left, or a quiet time would pay for it.
        let due = self.pace.due.max(at - LATE);
        self.pace.due = due + (self.apart(to) - self.apart(from));
        self.bound(now);
    }

    /// The server refused one of this weight that left at `at`, and the lane is paused for `wait`.
    /// Returns whether it is known what the server will take after that.
    pub(crate) fn refused(
        &mut self,
        at: Instant,
        weight: Weight,
        wait: Span,
        news: News,
        now: Instant,
    ) -> bool {
        self.sent.settle(at, Settled::refused(weight));
        let until = now + wait;
        if wait > LONG_WAIT || news == News::TooSoon {
            self.probe.counts_by_minute(now);
        }
        match news {
            News::Nothing => return false,
            News::TooSoon => {
                self.probe.start(until + RESTART);
                return false;
            }
            News::TooFast => {}
        }
        // Of a lane that sends less than it may, what it sends is what was too much.
        let fastest = self.sent.fastest(self.one.0, now);
        let rate = self.rate.min(fastest.unwrap_or(self.rate));
        // At the fastest there is: no table, and too few were sent to tell.
        if self.is_noise(now) || rate >= FASTEST {
            return false;
        }
        let told = self.is_told(now);
        let most = self.most(rate, now);
        // Of few, how fast is too fast cannot be told.
        let once = told && (now - self.cut > AGAIN || self.of == Unit::Tokens);
        let cut = if once || fastest.is_none() {
            most
        } else {
            let taken = match self.probe.is_by_minute(now) {
                true => self.sent.mean(60, now),
                false => self.sent.taken(wait, self.cut, now),
            };
            (taken * BELOW).clamp((rate * DEEPEST_CUT).min(most), most)
        };
        if told {
            // It is as it says, but for what the network does to the pace, and for whoever else
            // sends under the same limit.
            self.trim = (self.trim * cut / self.rate).max(LEAST_TRIM);
        }
        if self.sent.mean(20, now) > cut * LONG_MEMORY {
            self.probe.counts_by_minute(now);
        }
        self.set(cut, now);
        (self.cut, self.known) = (now, now);
        self.probe.fell(rate, until);
        self.leads = true;
        told || fastest.is_some()
    }

    /// Whether a refusal need not mean anything: the server counts what an answer takes in its own
    /// way, and so now and then takes less for a moment than the tokens that the user wrote.
    fn is_noise(&mut self, now: Instant) -> bool {
        let written = self.of == Unit::Tokens && self.ceiling.is_finite() && !self.leads;
        let least = self.rate * ENOUGH;
        written && self.sent.steady(60, now).is_none_or(|mean| mean > least)
    }

    /// The most that is left of a rate that was refused. Where others send under the same limit, who
    /// has more gives more up.
    fn most(&self, rate: f64, now: Instant) -> f64 {
        match (self.share(now), self.is_told(now)) {
            (share, _) if share < SHARED => rate * SHARED_CUT,
            (share, _) if share < LESS => rate * LESS_CUT,
            (_, true) if self.of == Unit::Tokens => rate * TOKENS_TRIMMED,
            (_, true) => rate * TRIMMED,
            (_, false) => rate.min(self.probe.proven(rate).unwrap_or(rate * LEAST_CUT)),
        }
    }

    /// The server named its limit, in the answer to a request that left at `at`.
    pub(crate) fn told(&mut self, limit: f64, at: Instant, now: Instant) {
        if !limit.is_finite() || limit <= 0.0 || self.told.is_some_and(|told| at < told) {
            return;
        }
        self.told = Some(at);
        // What was lowered after refusals is lowered below what the user allows, not below what it names.
        let rate = ((limit * SPREAD).min(self.ceiling) * self.trim).clamp(SLOWEST, FASTEST);
        if !self.leads || (rate / self.rate - 1.0).abs() > SAME {
            self.set(rate, now);
            self.probe.settle(now);
        }
        self.leads = true;
        self.known = now;
    }

    /// When one last left.
    pub(crate) fn last(&self) -> Instant {
        self.last
    }

    /// From when on nothing of it is worth remembering.
    pub(crate) fn fresh_at(&self) -> Instant {
        match self.leads {
            true => (self.known + REMEMBERED).max(self.pace.due),
            false => Instant::START,
        }
    }

    /// One failed that left lately.
    pub(crate) fn failed(&mut self) {
        self.probe.failed();
    }

    /// One had a response of which that is worth knowing.
    pub(crate) fn answered(&mut self) {
        self.probe.answered();
    }

    /// A while has passed without a cut: is there more? In an outage nothing is cut either.
    fn look_up(&mut self, now: Instant) {
        if self.probe.is_unproven() {
            self.probe.start(now);
            return;
        }
        let kept_back = self.probe.kept_back();
        if kept_back {
            self.probe.went_well(self.sent.mean(60, now), now);
        }
        if self.is_told(now) {
            if kept_back && self.trim < 1.0 {
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
        } else if kept_back && self.rate < self.ceiling {
            (self.leads, self.known) = (true, now);
            let next = self.probe.step(self.standing(now), now);
            self.set(next, now);
        } else {
            self.probe.settle(now);
        }
    }

    fn standing(&self, now: Instant) -> Standing {
        Standing {
            rate: self.rate,
            table: self.table,
            one: self.one.0,
            shared: self.share(now) < SHARED,
            told: self.is_told(now),
        }
    }

    /// How much it has of its limit, as far as that is known: named by the server, or written by the
    /// user. If it is much less, somebody else has the rest.
    fn share(&self, now: Instant) -> f64 {
        match self.is_told(now) {
            true => self.trim,
            false if self.ceiling.is_finite() => self.rate / self.ceiling,
            false => 1.0,
        }
    }

    /// Whether the server has named its limit of late.
    fn is_told(&self, now: Instant) -> bool {
        self.told.is_some_and(|at| now - at < FRESH)
    }

    /// Goes on at another rate; what is owed is paid at that.
    fn set(&mut self, rate: f64, now: Instant) {
        let rate = rate.min(self.ceiling).max(SLOWEST.min(self.ceiling));
        let owed = (self.pace.due - now).as_nanos() as f64 * self.rate / rate;
        if owed > 0.0 {
            self.pace.due = now + Span::nanos(owed as u64);
        }
        self.rate = rate;
        self.bound(now);
    }

    /// Begins anew: what the server said or did so long ago is no reason any more.
    fn forget(&mut self, now: Instant) {
        let (pace, since) = (self.pace.clone(), self.since);
        *self = Self::new(self.of, self.table, self.ceiling, now);
        (self.pace, self.since) = (pace, since);
    }

    /// Nobody waits for longer, whatever is owed: while nothing is sent the server can say nothing else.
    fn bound(&mut self, now: Instant) {
        self.pace.due = self.pace.due.min(now + REMEMBERED);
    }

    fn apart(&self, weight: Weight) -> Span {
        Span::nanos((weight.0 as f64 * SECOND / self.rate) as u64).min(REMEMBERED)
    }
}

const SECOND: f64 = 1e9;

/// How late a departure may be without delaying those after it.
const LATE: Span = Span::millis(50);

/// What comes back of requests that left so recently is a small part of any minute. With less, servers
/// that count tokens strictly gave up to 2 % less of their limit (`simulation/tests/tokens`).
const RECENT: Span = Span::secs(10);

/// Kept below what the server took: else the next is refused too.
const BELOW: f64 = 0.97;

/// One refusal is a cut by at least this, and by no more than half: one bad moment is no new limit.
const LEAST_CUT: f64 = 0.95;
const DEEPEST_CUT: f64 = 0.5;

/// What a named limit is lowered by when what kept to it is refused all the same, and raised by, of the
/// limit, when it went well for a while: little at first, and faster where it was lowered far.
const TRIMMED: f64 = 0.985;
const AGAIN: Span = Span::secs(5);
const UNTRIMMED: f64 = 0.005;
const REGAINED: f64 = 0.02;
const NEARLY: f64 = 0.9;
/// Of tokens much less at once, for what a request costs is known only when it has been answered.
const TOKENS_TRIMMED: f64 = 0.995;
const TOKENS_UNTRIMMED: f64 = 0.01;
/// While the server took so much of the tokens that the user wrote in a minute, they are what it allows.
const ENOUGH: f64 = 0.8;
const LEAST_TRIM: f64 = 0.05;

/// Who has less than this of a limit shares it with others. All then add the same and give up a part of
/// what they have, whoever is refused: that makes them equal. With a smaller part, or more added, they
/// are so later or refused more (`simulation/tests/learning`, four processes).
const SHARED: f64 = 0.55;
const SHARED_CUT: f64 = 0.8;
const SHARED_MORE: f64 = 0.015;
/// And who has a little less may.
const LESS: f64 = 0.85;
const LESS_CUT: f64 = 0.93;

/// A server that asks for more than a bucket would counts by the minute, and so does one that took so
/// many times more in the last 20 s than it does now.
const LONG_WAIT: Span = Span::secs(3);
const LONG_MEMORY: f64 = 2.2;

/// The network's spread, as of a quota: 200 ms in a minute.
const SPREAD: f64 = 60.0 / 60.2;

/// A limit that was named so long ago may have moved.
const FRESH: Span = Span::secs(60);

/// Differences that only come of rounding.
const SAME: f64 = 1e-3;

/// The table is believed for a minute of work; then it may be too low.
const FIRST: Span = Span::secs(60);

/// One an hour, and a token a nanosecond.
const SLOWEST: f64 = 1.0 / 3_600.0;
const FASTEST: f64 = 1e9;

/// Those of which it is known what one weighs.
const USUAL: u32 = 64;

/// What was learned is forgotten after an idle hour.
const REMEMBERED: Span = Span::secs(3_600);

#[cfg(test)]
mod tests;
