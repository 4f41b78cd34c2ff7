//! What one limit remembers about one caller.

use std::collections::VecDeque;

use crate::limit::{Limit, Rule};

/// The memory of one limit for one key and model. All times are microseconds, all arithmetic is
/// in whole numbers: a verdict must not hang on a rounding.
#[derive(Clone, Debug)]
pub(super) enum Meter {
    /// The window last seen, and how many requests it has had.
    Fixed { phase: u64, window: u64, count: u32 },
    /// When the last requests came, at most as many as the limit has.
    Sliding { log: VecDeque<u64> },
    /// When the bucket is full again, in microseconds times the limit's `max`: in this unit the
    /// time one request is worth is a whole number, `per`.
    Gcra { burst: u32, full_at: u128 },
}

impl Meter {
    pub(super) fn new(limit: &Limit) -> Self {
        match limit.rule {
            Rule::Fixed { phase } => Self::Fixed {
                phase,
                window: 0,
                count: 0,
            },
            Rule::Sliding => Self::Sliding {
                log: VecDeque::new(),
            },
            Rule::Gcra { burst } => Self::Gcra { burst, full_at: 0 },
        }
    }

    /// Forgets what no longer matters at `now`. The methods below want this done first.
    pub(super) fn settle(&mut self, limit: &Limit, now: u64) {
        match self {
            Self::Fixed {
                phase,
                window,
                count,
            } => {
                let current = since_a_start(limit, *phase, now) / limit.per;
                if *window != current {
                    (*window, *count) = (current, 0);
                }
            }
            Self::Sliding { log } => {
                while log.front().is_some_and(|at| at + limit.per <= now) {
                    log.pop_front();
                }
            }
            Self::Gcra { full_at, .. } => *full_at = (*full_at).max(scaled(limit, now)),
        }
    }

    /// Counts a request.
    pub(super) fn take(&mut self, limit: &Limit, now: u64) {
        match self {
            Self::Fixed { count, .. } => *count = count.saturating_add(1),
            Self::Sliding { log } => {
                log.push_back(now);
                // Refused requests may count as well. Older entries cannot change a verdict.
                if log.len() > limit.max as usize {
                    log.pop_front();
                }
            }
            Self::Gcra { burst, full_at } => {
                // A bucket cannot be emptier than empty, however many refused requests count.
                let empty = scaled(limit, now) + worth(limit, *burst);
                *full_at = (*full_at + worth(limit, 1)).min(empty);
            }
        }
    }

    /// How many requests would pass at once.
    pub(super) fn remaining(&self, limit: &Limit, now: u64) -> u64 {
        match self {
            Self::Fixed { count, .. } => limit.max.saturating_sub(*count).into(),
            Self::Sliding { log } => u64::from(limit.max) - log.len() as u64,
            Self::Gcra { burst, full_at } => {
                let missing = full_at - scaled(limit, now);
                ((worth(limit, *burst) - missing) / worth(limit, 1)) as u64
            }
        }
    }

    /// How long until a request passes; 0 if one would now.
    pub(super) fn wait(&self, limit: &Limit, now: u64) -> u64 {
        if self.remaining(limit, now) > 0 {
            return 0;
        }
        match self {
            Self::Fixed { phase, .. } => limit.per - since_a_start(limit, *phase, now) % limit.per,
            Self::Sliding { log } => log.front().map_or(0, |at| at + limit.per - now),
            Self::Gcra { burst, full_at } => {
                let missing = full_at - scaled(limit, now);
                (missing - worth(limit, burst - 1)).div_ceil(u128::from(limit.max)) as u64
            }
        }
    }
}

/// Time since a moment at which a window began; one before 0, since `phase` is below `per`.
fn since_a_start(limit: &Limit, phase: u64, now: u64) -> u64 {
    now + limit.per - phase
}

/// A time in the unit of `full_at`.
fn scaled(limit: &Limit, now: u64) -> u128 {
    u128::from(now) * u128::from(limit.max)
}

/// The time so many requests are worth, in the unit of `full_at`.
fn worth(limit: &Limit, requests: u32) -> u128 {
    u128::from(requests) * u128::from(limit.per)
}
