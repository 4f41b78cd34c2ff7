use std::num::NonZeroU64;

use super::{pace::Pace, sent::Sent};

/// The pace that a server really allows one lane: learned from what it refuses, and from what it says
/// of its limits.
///
/// It falls when a request of a new episode is refused, to what the server took in the time before, and
/// is probed upward while it, and not the demand, keeps requests back. Until there is a reason to lead,
/// the table does, and this only watches.
///
/// Rates are requests per second; instants and durations are nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    rate: f64,
    /// Kept whether or not it is this that paces.
    pace: Pace,
    leads: bool,
    ceiling: f64,
    /// The part of a limit that the server names which it really grants, as far as its refusals tell.
    trim: f64,
    /// When the request left whose answer named the limit.
    told: Option<u64>,
    probe: Probe,
    sent: Sent,
    /// When it was last cut.
    cut: u64,
    last: u64,
}

/// Whether there is more to be had.
#[derive(Clone, Debug)]
struct Probe {
    since: u64,
    /// How many have left since, and how many of them the pace kept back.
    left: u32,
    held: u32,
    /// How many steps it has gone up without a refusal.
    steps: u32,
    /// The rate before the last step.
    proven: f64,
    /// How often in a row the first step was one too many.
    failed: u32,
    /// The best that has gone well of late, and when it last did.
    best: (f64, u64),
    /// Whether this is far below that: the way back is worth a risk.
    fallen: bool,
}

impl Rate {
    /// Watches a lane whose table allows so many a second, and never more than `ceiling`.
    pub(crate) fn new(rate: f64, ceiling: f64, now: u64) -> Self {
        Self {
            rate: rate.min(ceiling).min(FASTEST),
            pace: Pace::default(),
            leads: false,
            ceiling,
            trim: 1.0,
            told: None,
            probe: Probe::new(rate, now),
            sent: Sent::default(),
            cut: 0,
            last: now,
        }
    }

    /// Whether it is this that paces the lane, and not the numbers that this crate supplied.
    pub(crate) fn leads(&self) -> bool {
        self.leads
    }

    /// Requests per second.
    pub(crate) fn per_second(&self) -> f64 {
        self.rate
    }

    /// How far apart it keeps requests, if it leads.
    pub(crate) fn interval(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.apart()).filter(|_| self.leads)
    }

    /// The instant before which the next may not leave, after `ahead` others.
    pub(crate) fn next(&self, ahead: u64) -> u64 {
        if !self.leads {
            return 0;
        }
        self.pace
            .due
            .saturating_add(self.apart().saturating_mul(ahead))
    }

    /// One leaves that could have left since `ready`, and that the pace kept back, or not.
    pub(crate) fn leave(&mut self, held: bool, ready: u64, now: u64) {
        self.pace.leave(self.apart(), LATE, ready, now);
        self.sent.add(now);
        self.last = now;
        self.probe.left += 1;
        self.probe.held += u32::from(held);
        if now.saturating_sub(self.probe.since) >= self.hold() {
            self.look_up(now);
        }
    }

    /// The server refused one that left at `at`, and the lane is paused for `wait`. Only what `cuts`
    /// lowers the rate: of those that were under way together the first.
    pub(crate) fn refused(&mut self, at: u64, wait: u64, cuts: bool, now: u64) {
        self.sent.take(at);
        if !cuts {
            return;
        }
        // Of a lane that sends less than it may, what it sends is what was too much.
        let fastest = self.sent.fastest(now);
        let rate = self.rate.min(fastest.unwrap_or(self.rate));
        if rate >= FASTEST {
            // No table, and too few were sent to tell.
            return;
        }
        let told = self.is_told(now);
        let most = match self.probe.steps {
            _ if told => rate * TRIMMED,
            0 => rate * LEAST_CUT,
            // What went well before a step too many.
            _ => rate.min(self.probe.proven),
        };
        // Of few, how fast is too fast cannot be told.
        let once = told && now.saturating_sub(self.cut) > AGAIN;
        let cut = if once || fastest.is_none() {
            most
        } else {
            let taken = self.sent.taken(wait, self.cut, now) * BELOW;
            taken.clamp((rate * DEEPEST_CUT).min(most), most)
        };
        if told {
            // It is as it says, but for what the network does to the pace, and for whoever else
            // sends under the same limit.
            self.trim = (self.trim * cut / self.rate).max(LEAST_TRIM);
        }
        self.set(cut, now);
        self.cut = now;
        self.probe.fell(now);
        self.leads = true;
    }

    /// The server named its limit, in the answer to a request that left at `at`.
    pub(crate) fn told(&mut self, limit: f64, at: u64, now: u64) {
        if !limit.is_finite() || limit <= 0.0 || self.told.is_some_and(|told| at < told) {
            return;
        }
        self.told = Some(at);
        let rate = (limit * SPREAD * self.trim).clamp(SLOWEST, FASTEST);
        if !self.leads || (rate / self.rate - 1.0).abs() > SAME {
            self.set(rate, now);
            self.probe = Probe {
                failed: self.probe.failed,
                best: self.probe.best,
                ..Probe::new(self.rate, now)
            };
        }
        self.leads = true;
    }

    /// From when on nothing of it is worth remembering.
    pub(crate) fn fresh_at(&self) -> u64 {
        match self.leads {
            true => self.last.saturating_add(REMEMBERED).max(self.pace.due),
            false => 0,
        }
    }

    /// A while has passed without a cut: is there more?
    fn look_up(&mut self, now: u64) {
        let kept_back = self.probe.held * 5 >= self.probe.left * 4;
        if kept_back {
            self.probe.went_well(self.rate, now);
        }
        if self.is_told(now) {
            if kept_back && self.trim < 1.0 {
                let before = self.trim;
                let more = if before < NEARLY { REGAINED } else { UNTRIMMED };
                self.trim = (before * more).min(1.0);
                self.set(self.rate * self.trim / before, now);
            }
            self.probe.restart(now);
        } else if kept_back && self.rate < self.ceiling {
            self.probe.proven = self.rate;
            self.set(self.rate * (1.0 + self.probe.step()), now);
            self.probe.steps += 1;
            self.leads = true;
            self.probe.restart(now);
        } else {
            // What went well is proven, if nobody wants more.
            self.probe.steps = 0;
            self.probe.restart(now);
        }
    }

    /// Whether the server has named its limit of late.
    fn is_told(&self, now: u64) -> bool {
        self.told.is_some_and(|at| now.saturating_sub(at) < FRESH)
    }

    /// Whether it is known what to go back to: the rate before a step too many, or what the server
    /// named.
    pub(crate) fn knows_better(&self, now: u64) -> bool {
        self.probe.steps > 0 || self.is_told(now)
    }

    /// How long it must go well at this rate before the next step.
    fn hold(&self) -> u64 {
        if !self.leads {
            return FIRST;
        }
        match self.probe.steps {
            0 => {
                let hold = HOLD << self.probe.failed.min(MOST_FAILED);
                hold.min(if self.probe.fallen { REGAIN } else { LONGEST })
            }
            _ => STAGE.max(self.time_of(10.0)),
        }
    }

    /// How long so many requests take, at most as long as a first look up.
    fn time_of(&self, requests: f64) -> u64 {
        ((requests / self.rate * SECOND) as u64).min(LONGEST)
    }

    /// Goes on at another rate; what is owed is paid at that.
    fn set(&mut self, rate: f64, now: u64) {
        let rate = rate.min(self.ceiling).max(SLOWEST.min(self.ceiling));
        let owed = self.pace.due.saturating_sub(now) as f64 * self.rate / rate;
        if owed > 0.0 {
            self.pace.due = now.saturating_add(owed as u64);
        }
        self.rate = rate;
        let (best, at) = self.probe.best;
        self.probe.fallen = rate < best * FELL && now < at.saturating_add(KNOWN);
    }

    fn apart(&self) -> u64 {
        (SECOND / self.rate) as u64
    }
}

impl Probe {
    fn new(rate: f64, now: u64) -> Self {
        Self {
            since: now,
            left: 0,
            held: 0,
            steps: 0,
            proven: rate,
            failed: 0,
            best: (0.0, 0),
            fallen: false,
        }
    }

    fn went_well(&mut self, rate: f64, now: u64) {
        let (best, at) = self.best;
        if rate >= best * FELL || now.saturating_sub(at) > KNOWN {
            let best = if now.saturating_sub(at) > KNOWN {
                rate
            } else {
                best.max(rate)
            };
            self.best = (best, now);
        }
    }

    fn restart(&mut self, now: u64) {
        self.since = now;
        self.left = 0;
        self.held = 0;
        if self.steps > 2 {
            self.failed = 0;
        }
    }

    /// How much to add: boldly at first, since a small step takes as many refusals and longer to be
    /// refused; more boldly where that went well, and with care where it was refused before.
    fn step(&self) -> f64 {
        match (self.steps, self.failed) {
            (steps, 0) => BOLD[steps.min(2) as usize],
            (steps, _) => CAREFUL[steps.min(3) as usize],
        }
    }

    fn fell(&mut self, now: u64) {
        if (1..=2).contains(&self.steps) {
            self.failed += 1;
        }
        self.steps = 0;
        self.restart(now);
    }
}

const SECOND: f64 = 1e9;
const SECONDS: u64 = 1_000_000_000;

/// How late a departure may be without delaying those after it.
const LATE: u64 = SECONDS / 20;

/// Kept below what the server took: else the next is refused too.
const BELOW: f64 = 0.97;

/// One refusal is a cut by at least this, and by no more than half: one bad moment is no new limit.
const LEAST_CUT: f64 = 0.95;
const DEEPEST_CUT: f64 = 0.5;

/// What a named limit is lowered by when what kept to it is refused all the same, and raised by when it
/// went well for a while.
const TRIMMED: f64 = 0.985;
const AGAIN: u64 = 5 * SECONDS;
const UNTRIMMED: f64 = 1.005;
const REGAINED: f64 = 1.05;
const NEARLY: f64 = 0.9;
const LEAST_TRIM: f64 = 0.05;

/// The network's spread, as of a quota: 200 ms in a minute.
const SPREAD: f64 = 60.0 / 60.2;

/// A limit that was named so long ago may have moved.
const FRESH: u64 = 60 * SECONDS;

/// Differences that only come of rounding.
const SAME: f64 = 1e-3;

/// The table is believed for a minute of work; then it may be too low.
const FIRST: u64 = 60 * SECONDS;

/// How long to stay below a refusal before looking up again, doubled while that is refused; and how
/// many requests there should be for each that is risked.
const HOLD: u64 = 10 * SECONDS;
const MOST_FAILED: u32 = 5;
const LONGEST: u64 = 240 * SECONDS;
const FELL: f64 = 0.9;
const REGAIN: u64 = 20 * SECONDS;
const KNOWN: u64 = 600 * SECONDS;

/// How long a step must go well on the way up.
const STAGE: u64 = 6 * SECONDS;

/// Steps up, where none was refused of late, and where one was.
const BOLD: [f64; 3] = [0.2, 0.35, 0.5];
const CAREFUL: [f64; 4] = [0.05, 0.1, 0.35, 0.5];

/// One an hour, and a million a second.
const SLOWEST: f64 = 1.0 / 3_600.0;
const FASTEST: f64 = 1e6;

/// What was learned is forgotten after an idle hour.
const REMEMBERED: u64 = 3_600 * SECONDS;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as fast as it may for so long, held back by nothing else.
    fn send(rate: &mut Rate, from: u64, seconds: u64) -> u64 {
        let mut now = from;
        while now < from + seconds * SECONDS {
            rate.leave(true, now, now);
            now += (SECOND / rate.per_second()) as u64;
        }
        now
    }

    #[test]
    fn the_table_is_believed_for_a_minute_of_work_and_then_there_may_be_more() {
        let mut rate = Rate::new(10.0, f64::INFINITY, 0);
        let now = send(&mut rate, 0, 59);
        assert!(!rate.leads() && rate.next(0) == 0);
        send(&mut rate, now, 10);
        assert!(rate.leads() && rate.per_second() > 10.0);
        // Not where nobody wanted more, nor above what the user wrote.
        let mut idle = Rate::new(10.0, f64::INFINITY, 0);
        for second in 0..600 {
            idle.leave(false, second * SECONDS, second * SECONDS);
        }
        assert!(!idle.leads());
        let mut written = Rate::new(10.0, 10.0, 0);
        send(&mut written, 0, 600);
        assert!(!written.leads() && written.per_second() <= 10.0);
    }

    #[test]
    fn a_refusal_cuts_once_and_never_by_more_than_half() {
        let mut rate = Rate::new(10.0, 10.0, 0);
        let now = send(&mut rate, 0, 30);
        rate.refused(now, SECONDS, true, now);
        let cut = rate.per_second();
        assert!((5.0..=9.5).contains(&cut), "{cut}");
        // Those that were under way with it change nothing.
        rate.refused(now, SECONDS, false, now);
        assert_eq!(rate.per_second(), cut);
        rate.refused(now, 3_600 * SECONDS, true, now);
        assert!(rate.per_second() >= cut / 2.0);
        assert_eq!(rate.next(2) - rate.next(1), rate.interval().unwrap().get());
    }

    #[test]
    fn a_step_too_many_goes_back_to_what_went_well() {
        let mut rate = Rate::new(10.0, f64::INFINITY, 0);
        let now = send(&mut rate, 0, 62);
        assert!(rate.per_second() > 10.0 && rate.knows_better(now));
        rate.refused(now, SECONDS / 10, true, now);
        assert!((9.0..=10.0).contains(&rate.per_second()), "{rate:?}");
    }

    #[test]
    fn what_the_server_names_counts_and_the_newest_of_it() {
        let mut rate = Rate::new(10.0, 20.0, 0);
        rate.told(4.0, 10, 20);
        assert!(rate.leads());
        assert!((3.9..4.0).contains(&rate.per_second()));
        // Of a request that left before.
        rate.told(9.0, 5, 30);
        assert!(rate.per_second() < 4.0);
        rate.told(100.0, 40, 50);
        assert_eq!(rate.per_second(), 20.0);
        for absurd in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            rate.told(absurd, 60, 70);
            assert_eq!(rate.per_second(), 20.0);
        }
    }

    #[test]
    fn what_is_owed_is_paid_at_the_new_rate_and_nothing_overflows() {
        let mut rate = Rate::new(1.0, f64::INFINITY, 0);
        rate.told(1.0, 0, 0);
        rate.leave(true, SECONDS, SECONDS);
        rate.told(10.0, 1, SECONDS);
        let wait = rate.next(0) - SECONDS;
        assert!((SECONDS / 11..SECONDS / 9).contains(&wait), "{wait}");
        rate.leave(true, 0, u64::MAX);
        rate.refused(0, u64::MAX, true, u64::MAX);
        rate.told(1.0, u64::MAX, u64::MAX);
        assert!(rate.next(u64::MAX) > 0);
        assert_eq!(rate.fresh_at(), u64::MAX);
    }
}
