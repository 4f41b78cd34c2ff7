use super::{FASTEST, NEARLY, Probe, Rate};
use crate::{
    quota::Spares,
    words::{Instant, Span, Unit, Weight},
};

/// Rejections that are each alone among many accepted requests: because of jitter, because a server errs now and then, or
/// because the rate is a little too high. Their frequency tells which.
#[derive(Clone, Debug, Default)]
pub(super) struct Scattered {
    /// The rate before the first of a series.
    from: f64,
    /// Their number, that of the requests that were left out after them, and that of all requests meanwhile.
    rejected: u32,
    left_out: u32,
    requests: u32,
    /// The state before the first rejection of the last seconds.
    before: Option<Box<Before>>,
}

/// The state that a rejection changes.
#[derive(Clone, Debug)]
struct Before {
    rate: f64,
    trim: f64,
    probe: Probe,
    at: Instant,
}

/// The bounds of what rejections that are alone take from a rate.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// The multiple of the share that was rejected.
    times: f64,
    /// The part of the rate, if that is more.
    least: f64,
}

impl Scattered {
    /// The next rejection begins a series.
    pub(super) fn end(&mut self) {
        self.from = 0.0;
    }

    /// Returns the rest of `rate` after a rejection among `among` requests, after which `fills` are left out.
    ///
    /// Half of the share that was rejected is given up. Against steps upward of a two-hundredth every 10 s that comes
    /// to rest where one in a hundred is rejected. A rate falls no further than the share explains, so that a server that
    /// rejects requests at any rate does not stop the lane.
    fn left(&mut self, rate: f64, among: u32, fills: u32, bounds: Bounds) -> f64 {
        if rate > self.from || self.rejected >= MANY {
            (self.from, self.rejected) = (rate, 0);
            (self.left_out, self.requests) = (0, 0);
        }
        self.rejected += 1;
        self.left_out += fills;
        self.requests = self.requests.saturating_add(among);
        let share = f64::from(self.rejected + self.left_out) / f64::from(self.requests);
        let least = self.from * (1.0 - (bounds.times * share).max(bounds.least));
        let given_up = GIVEN_UP * f64::from(1 + fills) / f64::from(among);
        (rate * (1.0 - given_up)).max(least.min(rate))
    }
}

impl Rate {
    /// The rejections that pause nothing. A server that counts tokens accepts a request of many after a pause, and a lane
    /// with less than nearly all of its limit shares that with others, who must see its pauses.
    pub(crate) fn spares(&self, retry: bool, now: Instant) -> Spares {
        let limit = match self.is_named(now) {
            true => self.limit.min(self.ceiling),
            false => self.ceiling,
        };
        let has_less = limit.is_finite() && self.rate < limit * NEARLY;
        let by_minute = limit.is_infinite() && self.probe.is_by_minute(now);
        match retry {
            _ if self.of == Unit::Tokens || has_less => Spares::Nothing,
            true => Spares::Retry,
            false if by_minute || self.rate >= FASTEST => Spares::Nothing,
            false => Spares::Alone(FEW),
        }
    }

    /// Keeps the state that a rejection changes.
    pub(super) fn keep(&mut self, now: Instant) {
        let before = self.scattered.before.as_ref();
        if before.is_none_or(|before| now - before.at > LATELY) {
            self.scattered.before = Some(Box::new(Before {
                rate: self.proven(),
                trim: self.trim,
                probe: self.probe.clone(),
                at: now,
            }));
        }
    }

    /// A rejection was alone among so many requests.
    pub(super) fn alone(&mut self, among: u32, now: Instant) {
        self.keep(now);
        let named = self.is_named(now);
        // A lane begins with the table's number, which is about right or far too low.
        let near_table = (self.table * NEARLY..=self.table).contains(&self.rate);
        let known = named || self.ceiling.is_finite() || near_table;
        let (fills, bounds) = match known {
            true if named => (0, LOOSE),
            true => (0, TIGHT),
            false => (FILLS, LOOSE),
        };
        let rate = self.scattered.left(self.proven(), among, fills, bounds);
        if named {
            self.trim *= rate / self.rate;
        } else if !known {
            self.probe.fell(self.rate, now);
        }
        self.set(rate, now);
        (self.leads, self.known) = (true, now);
        self.pace.due = self.pace.due.max(now) + self.apart(Weight(1)) * u64::from(fills);
    }

    /// A retry was rejected, and others were not. What its first attempt changed comes back.
    pub(super) fn retried(&mut self, now: Instant) {
        let before = self.scattered.before.take();
        let lately = before.filter(|before| now - before.at <= LATELY && before.rate > self.rate);
        if let Some(before) = lately {
            (self.trim, self.probe) = (before.trim, before.probe);
            self.probe.resume(now - before.at, now);
            self.set(before.rate, now);
        }
    }

    /// The rate, or the one before a step up that has just been rejected.
    fn proven(&self) -> f64 {
        let proven = self.probe.proven(self.rate);
        proven.map_or(self.rate, |proven| proven.min(self.rate))
    }
}

/// A rejection pauses nothing if so many requests departed since the last one, its own included.
const FEW: u32 = 8;
/// Where the limit is unknown, so many requests are left out after it, for a bucket to fill.
const FILLS: u32 = 3;
/// The length of a series. This many rejections are no accident.
const MANY: u32 = 16;
/// The part of the share rejected that a rejection takes from the rate.
const GIVEN_UP: f64 = 0.5;
/// The number that a rate begins with is right more often than one that was found.
const TIGHT: Bounds = Bounds {
    times: 1.0,
    least: 0.05,
};
const LOOSE: Bounds = Bounds {
    times: 2.0,
    least: 0.1,
};
/// A change is taken back within this time.
const LATELY: Span = Span::secs(30);
