//! The decision about the limits of one API key that several processes share.
//!
//! Each limit has `due`, the instant from which on it is not granted yet (the generic cell rate algorithm, as
//! in [`Gcra`](super::super::gcra)). A lane is granted instants that are `apart`, and moves `due` past the last
//! of them. No two instants of a limit overlap, and each request departs within a known time after its
//! instant. So `max + 1` departures of all processes together span more than the window.
//!
//! Redis runs the same decision as `decide.lua`. All numbers are `f64` here, as they are there, so that one
//! trace of calls has the same replies from both.

use std::collections::HashMap;

use super::{
    ask::{Ask, Bound, LaneAsk, LaneReply, Name, Reply, ReportReply, Stamp, Term, micros},
    lane::Lane,
};
use crate::words::Span;

/// The state that the processes of one API key share. All instants are in microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// The processes, and the instant at which each was last heard.
    members: HashMap<u64, f64>,
    limits: HashMap<Name, Limit>,
    lanes: HashMap<Name, Lane>,
    lateness: Widest,
    /// The instant of the first call.
    born: f64,
    /// Nothing is granted before this instant, since the ledger was set back.
    opens: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Limit {
    due: f64,
    /// The instant up to which lanes have drawn numbers.
    booked: f64,
    /// The time of cost that was given back when nothing was booked any more. The next grants take it first.
    credit: f64,
    interval: Widest,
}

/// The largest of the values that the processes have stated within the last minute.
#[derive(Clone, Copy, Debug, Default)]
struct Widest {
    value: f64,
    at: f64,
}

/// A limit during one call.
struct Account {
    limit: Limit,
    /// The nanoseconds that each unit of cost takes.
    interval: f64,
    lag: f64,
}

impl Ledger {
    /// Decides about all lanes of a call at the instant `now`.
    pub(crate) fn decide(&mut self, ask: &Ask, now: Stamp) -> Reply {
        let stamp = now;
        let now = now.0 as f64;
        // A process that no longer waits for the reply may be on its own.
        let is_stale = ask.until != Stamp(0) && now > ask.until.0 as f64;
        let heard = if is_stale { now - SILENCE - 1.0 } else { now };
        self.members.insert(ask.process, heard);
        let forgotten = now - micros(ask.memory);
        self.members.retain(|_, heard| *heard > forgotten);
        if ask.leaves {
            self.members.remove(&ask.process);
        }
        let mut all = self.members.len() as f64;
        let heard = self.members.values();
        let here = heard.filter(|heard| **heard >= now - SILENCE).count() as f64;
        if self.born == 0.0 {
            self.born = now;
        }
        if now - self.born < TAUGHT {
            all = all.max(ask.known as f64);
        }
        let lateness = self.lateness.with(micros(ask.lateness), now);
        let learner = Some(ask.process).filter(|_| !is_stale);
        let reports = ask.reports.iter();
        let reports: Vec<_> = reports
            .map(|of| {
                let lane = self.lanes.entry(of.lane).or_default();
                lane.take(of, learner, now)
            })
            .collect();
        let terms = ask.terms.iter();
        let mut accounts: Vec<_> = terms
            .map(|term| self.account(term, &reports, lateness, (all, ask.known as f64), now))
            .collect();
        let horizon = micros(ask.cycle) / here.max(1.0);
        let opens = if self.is_closed(now) { self.opens } else { now };
        let grants = !is_stale && opens <= now;
        let lanes = ask.lanes.iter().map(|lane| {
            let want = if grants { lane.want } else { 0 };
            let from = opens.max(reports[lane.report].paused.0 as f64);
            grant(lane, want, from, horizon, (all, here), &mut accounts, now)
        });
        let lanes = lanes.collect();
        for (term, account) in ask.terms.iter().zip(&accounts) {
            self.limits.insert(term.name, account.limit);
        }
        Reply {
            now: stamp,
            members: all as u64,
            lateness: Span::nanos((lateness * 1e3) as u64),
            dues: accounts
                .iter()
                .map(|of| Stamp(of.limit.due as u64))
                .collect(),
            reports,
            lanes,
        }
    }

    /// Brings a limit up to date with what the process knows of it.
    fn account(
        &mut self,
        term: &Term,
        reports: &[ReportReply],
        lateness: f64,
        (all, known): (f64, f64),
        now: f64,
    ) -> Account {
        let mut limit = self.limits.get(&term.name).copied().unwrap_or_default();
        let lag = micros(term.lag);
        let (window, interval) = match term.bound {
            Bound::Window { max, window } => {
                let window = micros(window);
                let late = lateness.max((window / 100.0).min(LATE));
                let own = ((window + late + lag) * 1e3 / max as f64).ceil();
                (window, limit.interval.with(own, now))
            }
            // A pace needs no margin: the server says when it is too fast.
            Bound::Pace { report, of } => {
                (PACED, (reports[report].paces[of].apart as f64 / 1e3).ceil())
            }
        };
        // Beyond this a `due` is nonsense, or of another clock.
        let far = now + FAR.max((2.0 * window + 2.0 * all * interval / 1e3).ceil());
        if limit.due > far {
            limit.due = 0.0;
        }
        let heard = term.heard.0 as f64;
        if heard > limit.due && heard <= far {
            limit.due = heard;
            // The ledger was set back. The others will have said by then what they were granted.
            if known > 1.0 && !self.is_closed(now) {
                self.opens = now + RETAUGHT;
            }
        }
        if limit.booked > far {
            limit.booked = 0.0;
        }
        // What is given back makes later instants come sooner. `due` never falls, since a process that has heard
        // the higher one would teach it again.
        let owed = (term.owed as f64 * interval / 1e3).ceil() - limit.credit;
        limit.credit = (-owed).max(0.0).min((window / CREDIT).ceil());
        if owed > 0.0 {
            limit.due = (limit.due.max(now) + owed).min(far);
        }
        Account {
            limit,
            interval,
            lag,
        }
    }

    /// Whether the ledger was set back a moment ago.
    fn is_closed(&self, now: f64) -> bool {
        now < self.opens && self.opens <= now + RETAUGHT
    }
}

/// Grants a lane up to `want` instants: all of its limits are charged, or none.
fn grant(
    ask: &LaneAsk,
    want: u64,
    from: f64,
    horizon: f64,
    (all, here): (f64, f64),
    accounts: &mut [Account],
    now: f64,
) -> LaneReply {
    let own =
        |accounts: &[Account], (place, cost): (usize, u64)| accounts[place].interval * cost as f64;
    let (mut first, mut bound) = (from, 1.0_f64);
    for &cost in &ask.costs {
        first = first.max(accounts[cost.0].limit.due);
        bound = bound.max(own(accounts, cost));
    }
    let mut n = (want as f64).min(1.0 + (horizon * 1e3 / bound).floor());
    let mut apart = bound;
    if here < all && n > 0.0 {
        // Silent processes may send their part on their own.
        let back = bound + SILENT * (1.0 - here / all) / n;
        apart = (bound * all / here).min(back);
    }
    // The least lag of the limits that do not bind the lane.
    let mut slack: Option<f64> = None;
    for &cost in &ask.costs {
        let (own, lag) = (own(accounts, cost), accounts[cost.0].lag);
        if own < bound {
            n = n.min(1.0 + (lag * 1e3 / (apart - own)).floor());
            slack = Some(slack.map_or(lag, |slack| slack.min(lag)));
        }
    }
    let mut come = first;
    if slack.is_some() && !ask.returns {
        for &(place, _) in &ask.costs {
            come = come.max(accounts[place].limit.booked);
        }
    }
    let mut reply = LaneReply {
        first: Stamp(first.ceil() as u64),
        apart: Span::nanos(apart.ceil() as u64),
        n: 0,
    };
    if n <= 0.0 {
        return reply;
    }
    if let Some(slack) = slack.filter(|slack| come - now > *slack) {
        // Too far ahead: the lane draws a number, and is charged when its time is near. Until then the other
        // limits are free for other lanes.
        if !ask.returns {
            for &cost in &ask.costs {
                let taken = n * own(accounts, cost) / 1e3;
                let limit = &mut accounts[cost.0].limit;
                limit.booked = (limit.booked.max(now) + taken).ceil();
            }
        }
        reply.first = Stamp((come - slack / 2.0).ceil() as u64);
        return reply;
    }
    // What was given back lets the instants come sooner, as far as no other limit binds then.
    let (mut credit, mut least) = (f64::INFINITY, bound / 4.0);
    for &cost in &ask.costs {
        match own(accounts, cost) {
            own if own >= bound => credit = credit.min(accounts[cost.0].limit.credit),
            own => least = least.max(own),
        }
    }
    let sooner = (credit * 1e3 / n).min(apart - least).floor();
    apart -= sooner;
    reply.apart = Span::nanos(apart.ceil() as u64);
    reply.n = n as u64;
    let last = first + (n - 1.0) * apart / 1e3;
    for &cost in &ask.costs {
        let own = own(accounts, cost);
        let Account { limit, lag, .. } = &mut accounts[cost.0];
        limit.due = match own >= bound {
            true => first + n * apart / 1e3,
            // This limit is not used up. Another lane may have instants between those of this one.
            false => (limit.due.max(first - *lag) + n * own / 1e3).max(last - *lag + own / 1e3),
        }
        .ceil();
        if own >= bound {
            limit.credit = (limit.credit - n * sooner / 1e3).max(0.0).ceil();
        }
        if slack.is_some() {
            let booked = (limit.booked + n * own / 1e3).ceil();
            limit.booked = limit.booked.max(limit.due.min(booked));
        }
    }
    reply
}

impl Widest {
    /// The largest value, with `own` as this process states it now.
    fn with(&mut self, own: f64, now: f64) -> f64 {
        let age = now - self.at;
        if self.value > own && (0.0..REMEMBERED).contains(&age) {
            return self.value;
        }
        if self.value != own || !(0.0..REFRESHED).contains(&age) {
            *self = Self {
                value: own,
                at: now,
            };
        }
        own
    }
}

/// A process that was not heard for this time may have begun to send its own part.
const SILENCE: f64 = 200e3;
/// The nanoseconds after an unanswered call at which a process begins to send its own part.
const SILENT: f64 = 250e6;
/// A ledger that is new may have been lost: for this time it believes how many processes there are.
const TAUGHT: f64 = 2e6;
/// The time in which each busy process makes a call.
const RETAUGHT: f64 = 150e3;
/// In place of the window of a limit.
const PACED: f64 = 1e6;
/// The lateness that is granted at least, in a window that is long enough.
const LATE: f64 = 50e3;
/// The part of a window that is given back at most: about the cost of the requests in flight.
const CREDIT: f64 = 16.0;
const FAR: f64 = 120e6;
const REMEMBERED: f64 = 60e6;
const REFRESHED: f64 = 10e6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_said_goodbye_does_not_count_however_many_the_others_know() {
        let mut ledger = Ledger::default();
        let mut members = |process, known, leaves, second: u64| {
            let ask = Ask {
                process,
                known,
                leaves,
                memory: Span::secs(5),
                ..Ask::default()
            };
            ledger.decide(&ask, Stamp(second * 1_000_000)).members
        };
        assert_eq!(members(1, 3, false, 100), 3, "a new ledger is told");
        assert_eq!(members(2, 0, false, 103), 2);
        assert_eq!(members(2, 2, true, 104), 1);
        assert_eq!(members(1, 2, false, 105), 1);
    }
}
