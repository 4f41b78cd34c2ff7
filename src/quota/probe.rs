use crate::words::{Instant, Span};

/// Whether there is more to be had than a lane takes: when to try, by how much, and what came of it.
///
/// Where nothing was refused of late, the steps are bold. Else they go half way to what was refused, and
/// past it with care, after a time that doubles while that is refused again. A lane that once sent much
/// more goes back there sooner.
///
/// Rates are requests per second, or tokens.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    since: Instant,
    /// How many have left since, and how many of them the pace kept back.
    left: u32,
    held: u32,
    /// How many failed meanwhile without a sign that the server keeps up.
    failures: u32,
    /// How many of those that left are witnesses, and how many witnesses had a response meanwhile.
    witnesses: u32,
    answered: u32,
    /// How many steps it has gone up since a refusal, or since nobody wanted more.
    steps: u32,
    /// What the rate was before the last of them.
    before: Option<f64>,
    /// The last rate that went well for a while.
    base: f64,
    /// The rate that was refused last, until more than that went well.
    refused: Option<f64>,
    /// How often in a row a step was refused at about that.
    failed: u32,
    /// Until when the server is taken for one that counts by the minute, or longer.
    by_minute: Instant,
    /// The best minute of late, and when it was.
    best: (f64, Instant),
}

/// What a lane does now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) rate: f64,
    /// What its table allows: the measure of a careful step.
    pub(crate) table: f64,
    /// What one weighs, on average.
    pub(crate) one: f64,
    /// Whether others send under the same limit.
    pub(crate) shared: bool,
    /// Whether the server has named the limit.
    pub(crate) told: bool,
}

impl Probe {
    pub(crate) fn new(rate: f64, now: Instant) -> Self {
        Self {
            since: now,
            left: 0,
            held: 0,
            failures: 0,
            witnesses: 0,
            answered: 0,
            steps: 0,
            before: None,
            base: rate,
            refused: None,
            failed: 0,
            by_minute: Instant::START,
            best: (0.0, Instant::START),
        }
    }

    /// One leaves, and the pace kept it back, or not.
    pub(crate) fn leave(&mut self, held: bool, now: Instant) {
        // Those who leave slowly after a pause tell nothing.
        if now >= self.since {
            self.left += 1;
            self.held += u32::from(held);
        }
    }

    /// One failed: it had no response, or the server could not serve it.
    pub(crate) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Whether the one that leaves is a witness: the first, and one in seven. Of a pair that leaves together, of which
    /// the caller keeps the faster, it is now the first and now the second.
    pub(crate) fn is_witness(&mut self, now: Instant) -> bool {
        let is_witness = now >= self.since && (self.witnesses == 0 || self.left % WITNESS == 0);
        self.witnesses += u32::from(is_witness);
        is_witness
    }

    /// A witness had a response.
    pub(crate) fn answered(&mut self) {
        self.answered = self.answered.saturating_add(1);
    }

    /// Whether half failed, or two thirds had no response, so that the server's taking them proves nothing. Who sends
    /// each request twice, and drops the slower one, has a response to half.
    pub(crate) fn is_unproven(&self) -> bool {
        self.failures * 2 >= self.left || self.answered * 3 < self.witnesses.max(1)
    }

    /// How long it has gone on like this.
    pub(crate) fn age(&self, now: Instant) -> Span {
        now - self.since
    }

    /// How long it must go well before the next step.
    pub(crate) fn hold(&self, at: Standing, now: Instant) -> Span {
        let overshot = |refused| at.rate * OVERSHOT < refused;
        if at.told || at.shared {
            HOLD
        } else if self.steps > 0 {
            match now < self.by_minute {
                true => MINUTE_STAGE,
                false => STAGE.max(time_of(10.0 * at.one, at.rate)),
            }
        } else if self.has_fallen(at.rate, now) {
            self.patience().min(REGAIN)
        } else if self.refused.is_some_and(overshot) {
            STAGE
        } else {
            self.patience().min(LONGEST)
        }
    }

    fn patience(&self) -> Span {
        HOLD * (1 << self.failed.min(MOST_FAILED))
    }

    /// Whether it was the pace, and not the demand, that kept requests back.
    pub(crate) fn kept_back(&self) -> bool {
        self.held * 5 >= self.left * 4
    }

    /// It has gone well, and the server took so much in the last minute.
    pub(crate) fn went_well(&mut self, minute: f64, now: Instant) {
        let (best, at) = self.best;
        let old = now - at > KNOWN;
        if old || minute >= best * FELL {
            self.best = (if old { minute } else { best.max(minute) }, now);
        }
    }

    /// Nobody wanted more. What went well is proven.
    pub(crate) fn settle(&mut self, now: Instant) {
        self.steps = 0;
        self.before = None;
        self.start(now);
    }

    /// Counts from here on.
    pub(crate) fn start(&mut self, now: Instant) {
        self.since = now;
        self.left = 0;
        self.held = 0;
        self.failures = 0;
        self.witnesses = 0;
        self.answered = 0;
    }

    /// The rate to try next.
    pub(crate) fn step(&mut self, at: Standing, now: Instant) -> f64 {
        if self.steps > 2 && !at.shared {
            self.failed = 0;
            self.refused = None;
        }
        let next = at.rate * (1.0 + self.next_step(at, now));
        if self.age(now) >= HOLD {
            self.base = at.rate;
        }
        self.before = Some(at.rate);
        self.start(now);
        next
    }

    /// As a part of the rate.
    fn next_step(&mut self, at: Standing, now: Instant) -> f64 {
        let steps = self.steps;
        let nth = |sizes: [f64; 3]| sizes[steps.min(2) as usize];
        let careful = (ADDED * at.table / at.rate).clamp(LEAST_ADDED, MOST_ADDED);
        self.steps += 1;
        if at.shared {
            // By as much as the others, whatever each has: so all come to have the same.
            return SHARED_STEP * f64::from(steps.max(1)) * at.table / at.rate;
        }
        let Some(refused) = self.refused else {
            return nth(if now < self.by_minute { MINUTE } else { BOLD });
        };
        let half_way = Some((refused / at.rate).sqrt() - 1.0).filter(|step| *step > careful);
        if self.has_fallen(at.rate, now) {
            self.steps = 1;
            let back = (self.best.0 * NEARLY / at.rate - 1.0).min(RECOVER);
            return back.min(half_way.unwrap_or(if steps > 0 { RECOVER } else { careful }));
        }
        match half_way {
            Some(step) => {
                self.steps = 1;
                step
            }
            None if now < self.by_minute => nth(MINUTE),
            None => [careful, CAREFUL[0], CAREFUL[1]][steps.min(2) as usize],
        }
    }

    /// The most that is left of a rate that was refused, if it was a step too many: what went well
    /// before it.
    pub(crate) fn proven(&self, rate: f64) -> Option<f64> {
        let before = self.before?;
        Some(if rate < self.base * CLOSE {
            self.base
        } else if self.steps > 1 {
            // Each stage was short, and a bucket may have paid for it.
            before * SOMEWHAT_LESS
        } else {
            before
        })
    }

    /// What is sent at this rate is refused; it goes on after a pause.
    pub(crate) fn fell(&mut self, rate: f64, until: Instant) {
        match self.refused {
            Some(refused) if rate > refused * AGAIN[1] => self.failed = 0,
            Some(refused) if rate > refused * AGAIN[0] && self.before.is_some() => self.failed += 1,
            _ => {}
        }
        self.refused = Some(rate);
        self.settle(until);
    }

    /// The server remembers long: it refuses what is sent soon after a pause, or asks for long ones.
    pub(crate) fn counts_by_minute(&mut self, now: Instant) {
        self.by_minute = now + KNOWN;
    }

    /// Whether it does, as far as is known.
    pub(crate) fn is_by_minute(&self, now: Instant) -> bool {
        now < self.by_minute
    }

    /// Whether it was much faster of late.
    fn has_fallen(&self, rate: f64, now: Instant) -> bool {
        let (best, at) = self.best;
        rate < best * FELL && now < at + KNOWN
    }
}

/// How long so many take, at most as long as one ever waits before a step.
fn time_of(many: f64, rate: f64) -> Span {
    Span::nanos((many / rate * 1e9) as u64).min(LONGEST)
}

/// One of so many is a witness, for each takes the lock once more. An even number would be always the same one of a
/// pair.
const WITNESS: u32 = 7;

/// How long to go on after a refusal before looking up again, doubled while that is refused.
const HOLD: Span = Span::secs(10);
const MOST_FAILED: u32 = 5;
const LONGEST: Span = Span::secs(240);

/// At most so long where it was a tenth faster in the last ten minutes.
const REGAIN: Span = Span::secs(15);
const FELL: f64 = 0.9;
const KNOWN: Span = Span::secs(600);

/// How long each of several steps must go well: a bucket tells in seconds, a window does not.
const STAGE: Span = Span::secs(5);
const MINUTE_STAGE: Span = Span::secs(15);

/// Far above what it is now: there is surely something between.
const OVERSHOT: f64 = 1.3;

/// Steps up where none was refused of late: boldly, since a small step is refused as well, only later.
const BOLD: [f64; 3] = [0.2, 0.35, 0.5];
/// Past what was refused, after a first step that is added and not multiplied.
const CAREFUL: [f64; 2] = [0.1, 0.35];
/// Where the server counts by the minute, and tells so late.
const MINUTE: [f64; 3] = [0.05, 0.1, 0.3];

/// That first step, of what the table allows; and its least and most, of the rate.
const ADDED: f64 = 0.03;
const LEAST_ADDED: f64 = 0.02;
const MOST_ADDED: f64 = 0.25;

/// The same where others share the limit.
const SHARED_STEP: f64 = 0.015;

/// The way back to what went well: in such steps, nearly there.
const RECOVER: f64 = 0.35;
const NEARLY: f64 = 0.96;

/// A rate is refused again if it is between these, of what was refused last.
const AGAIN: [f64; 2] = [0.9, 1.3];

/// So close above the last rate that went well for long, it goes back to that.
const CLOSE: f64 = 1.25;
const SOMEWHAT_LESS: f64 = 0.95;

#[cfg(test)]
mod tests;
