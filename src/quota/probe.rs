use crate::words::{Instant, Span};

/// Decides when to try a higher rate than a lane takes, by how much, and what followed from the try.
///
/// If nothing was rejected lately, the steps are bold. Otherwise they go half way to the rejected rate. Steps
/// past it are careful, and come after a time that doubles while they are rejected again. A lane that once
/// sent much more goes back there sooner.
///
/// Rates are in requests, or in tokens, per second.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    since: Instant,
    /// The number of departures since the last look, and how many of them the pace delayed.
    departed: u32,
    delayed: u32,
    /// The number of requests that failed meanwhile without a sign that the server keeps up.
    failures: u32,
    /// The number of departures that are witnesses, and of witnesses that had a response meanwhile.
    witnesses: u32,
    responses: u32,
    /// The number of steps up since a rejection, or since demand last fell short of the pace.
    steps: u32,
    /// The rate before the last of these steps.
    before: Option<f64>,
    /// The last rate that went well for a while.
    base: f64,
    /// The rate that was rejected last, until a higher one went well.
    rejected: Option<f64>,
    /// The number of steps in a row that were rejected at about that rate.
    failed: u32,
    /// The instant until which, or longer, the server is taken for one that counts by the minute.
    by_minute: Instant,
    /// The rate of the best recent minute, and its instant.
    best: (f64, Instant),
}

/// The state of a lane that a step depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) rate: f64,
    /// The rate that the table allows: the measure of a careful step.
    pub(crate) table: f64,
    /// The mean weight of a request.
    pub(crate) one: f64,
    /// Whether others send under the same limit.
    pub(crate) shared: bool,
    /// Whether the server has named the limit.
    pub(crate) named: bool,
}

impl Probe {
    pub(crate) fn new(rate: f64, now: Instant) -> Self {
        Self {
            since: now,
            departed: 0,
            delayed: 0,
            failures: 0,
            witnesses: 0,
            responses: 0,
            steps: 0,
            before: None,
            base: rate,
            rejected: None,
            failed: 0,
            by_minute: Instant::START,
            best: (0.0, Instant::START),
        }
    }

    /// Counts a departure. `delayed` tells whether the pace delayed it.
    pub(crate) fn depart(&mut self, delayed: bool, now: Instant) {
        // Departures in the slow restart after a pause tell nothing.
        if now >= self.since {
            self.departed += 1;
            self.delayed += u32::from(delayed);
        }
    }

    /// Counts a failed request: it had no response, or the server could not serve it.
    pub(crate) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Whether this departure is a witness: the first one is, and one in seven. For a caller that sends pairs and
    /// keeps the faster one, the witness is alternately the first and the second of a pair.
    pub(crate) fn is_witness(&mut self, now: Instant) -> bool {
        let is_witness = now >= self.since && (self.witnesses == 0 || self.departed % WITNESS == 0);
        self.witnesses += u32::from(is_witness);
        is_witness
    }

    /// A witness had a response.
    pub(crate) fn responded(&mut self) {
        self.responses = self.responses.saturating_add(1);
    }

    /// Whether half of the requests failed, or two thirds had no response, so that the success of the others proves
    /// nothing. A caller that sends each request twice and drops the slower one has a response to half.
    pub(crate) fn is_unproven(&self) -> bool {
        self.failures * 2 >= self.departed || self.responses * 3 < self.witnesses.max(1)
    }

    /// The time since the count was started.
    pub(crate) fn age(&self, now: Instant) -> Span {
        now - self.since
    }

    /// The time for which the rate must go well before the next step.
    pub(crate) fn step_after(&self, at: Standing, now: Instant) -> Span {
        let overshot = |rejected| at.rate * OVERSHOT < rejected;
        if at.named || at.shared {
            STEP_AFTER
        } else if self.steps > 0 {
            match now < self.by_minute {
                true => MINUTE_STAGE,
                false => STAGE.max(time_of(10.0 * at.one, at.rate)),
            }
        } else if self.has_fallen(at.rate, now) {
            self.patience().min(REGAIN)
        } else if self.rejected.is_some_and(overshot) {
            STAGE
        } else {
            self.patience().min(LONGEST)
        }
    }

    fn patience(&self) -> Span {
        STEP_AFTER * (1 << self.failed.min(MOST_FAILED))
    }

    /// Whether the pace, and not the demand, delayed requests.
    pub(crate) fn was_delayed(&self) -> bool {
        self.delayed * 5 >= self.departed * 4
    }

    /// The rate went well, and the server took `minute` a second in the last minute.
    pub(crate) fn went_well(&mut self, minute: f64, now: Instant) {
        let (best, at) = self.best;
        let old = now - at > KNOWN;
        if old || minute >= best * FELL {
            self.best = (if old { minute } else { best.max(minute) }, now);
        }
    }

    /// The demand fell short of the pace. The rate that went well counts as proven.
    pub(crate) fn reset(&mut self, now: Instant) {
        self.steps = 0;
        self.before = None;
        self.start(now);
    }

    /// Continues with what was counted until some time ago. A step is not taken up again.
    pub(crate) fn resume(&mut self, ago: Span, now: Instant) {
        match self.before {
            Some(_) => self.reset(now),
            None => self.since = self.since + ago,
        }
    }

    /// Starts the count at `now`.
    pub(crate) fn start(&mut self, now: Instant) {
        self.since = now;
        self.departed = 0;
        self.delayed = 0;
        self.failures = 0;
        self.witnesses = 0;
        self.responses = 0;
    }

    /// The next rate to try.
    pub(crate) fn step(&mut self, at: Standing, now: Instant) -> f64 {
        if self.steps > 2 && !at.shared {
            self.failed = 0;
            self.rejected = None;
        }
        let next = at.rate * (1.0 + self.next_step(at, now));
        if self.age(now) >= STEP_AFTER {
            self.base = at.rate;
        }
        self.before = Some(at.rate);
        self.start(now);
        next
    }

    /// The next step, as a part of the rate.
    fn next_step(&mut self, at: Standing, now: Instant) -> f64 {
        let steps = self.steps;
        let nth = |sizes: [f64; 3]| sizes[steps.min(2) as usize];
        let careful = (ADDED * at.table / at.rate).clamp(LEAST_ADDED, MOST_ADDED);
        self.steps += 1;
        if at.shared {
            // Each lane adds the same amount, whatever its rate, so that all come to have the same.
            return SHARED_STEP * f64::from(steps.max(1)) * at.table / at.rate;
        }
        let Some(rejected) = self.rejected else {
            return nth(if now < self.by_minute { MINUTE } else { BOLD });
        };
        let half_way = Some((rejected / at.rate).sqrt() - 1.0).filter(|step| *step > careful);
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

    /// The upper bound of the rate after a step was rejected: the rate that went well before it.
    pub(crate) fn proven(&self, rate: f64) -> Option<f64> {
        let before = self.before?;
        Some(if rate < self.base * CLOSE {
            self.base
        } else if before > self.base {
            // Its stage was short, and a bucket may have paid for it.
            before * SOMEWHAT_LESS
        } else {
            before
        })
    }

    /// `rate` was rejected. The lane continues after a pause that ends at `until`.
    pub(crate) fn fell(&mut self, rate: f64, until: Instant) {
        match self.rejected {
            Some(last) if rate > last * AGAIN[1] => self.failed = 0,
            Some(last) if rate > last * AGAIN[0] && self.before.is_some() => self.failed += 1,
            _ => {}
        }
        self.rejected = Some(rate);
        self.reset(until);
    }

    /// The server counts by the minute: it rejects what is sent soon after a pause, or asks for long waits.
    pub(crate) fn counts_by_minute(&mut self, now: Instant) {
        self.by_minute = now + KNOWN;
    }

    /// Whether the server counts by the minute, as far as is known.
    pub(crate) fn is_by_minute(&self, now: Instant) -> bool {
        now < self.by_minute
    }

    /// Whether the lane was much faster lately.
    fn has_fallen(&self, rate: f64, now: Instant) -> bool {
        let (best, at) = self.best;
        rate < best * FELL && now < at + KNOWN
    }
}

/// The time that `many` take at `rate`, up to the longest wait before a step.
fn time_of(many: f64, rate: f64) -> Span {
    Span::nanos((many / rate * 1e9) as u64).min(LONGEST)
}

/// One departure in this many is a witness, since each takes the lock once more. An even number would always pick the
/// same one of a pair.
const WITNESS: u32 = 7;

/// The wait after a rejection before the next look for a higher rate. It doubles while steps are rejected.
const STEP_AFTER: Span = Span::secs(10);
const MOST_FAILED: u32 = 5;
const LONGEST: Span = Span::secs(240);

/// The longest wait if the lane was a tenth faster in the last ten minutes.
const REGAIN: Span = Span::secs(15);
const FELL: f64 = 0.9;
const KNOWN: Span = Span::secs(600);

/// The time that each of several steps must go well: a bucket tells in seconds, a window does not.
const STAGE: Span = Span::secs(5);
const MINUTE_STAGE: Span = Span::secs(15);

/// A rejected rate this far above the current one surely leaves room in between.
const OVERSHOT: f64 = 1.3;

/// Steps up if none was rejected lately. They are bold, since a small step is rejected as well, only later.
const BOLD: [f64; 3] = [0.2, 0.35, 0.5];
/// Steps past a rejected rate, after a first step that is added and not multiplied.
const CAREFUL: [f64; 2] = [0.1, 0.35];
/// Steps for a server that counts by the minute, and so tells late.
const MINUTE: [f64; 3] = [0.05, 0.1, 0.3];

/// The added first step, as a part of the table's rate, and its bounds, as parts of the current rate.
const ADDED: f64 = 0.03;
const LEAST_ADDED: f64 = 0.02;
const MOST_ADDED: f64 = 0.25;

/// The added step if others share the limit.
const SHARED_STEP: f64 = 0.015;

/// The way back to a rate that went well is taken in such steps, until it is nearly reached.
const RECOVER: f64 = 0.35;
const NEARLY: f64 = 0.96;

/// A rate is rejected again if it is between these parts of the last rejected rate.
const AGAIN: [f64; 2] = [0.9, 1.3];

/// If the rate is this close above the last one that went well for long, it goes back to that.
const CLOSE: f64 = 1.25;
const SOMEWHAT_LESS: f64 = 0.95;

#[cfg(test)]
mod tests;
