//! The ways in which a server counts requests or tokens, as simple as possible: they share no code with the crate.

use std::{collections::VecDeque, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A bucket with the capacity of one second: GCRA with a burst of a second.
    Bucket,
    /// Counts in each minute of the server's own clock.
    FixedMinute,
    /// Counts in the last 60 seconds, at any time.
    SlidingMinute,
    /// Counts in each second of the server's own clock.
    FixedSecond,
}

/// Counts requests or tokens. All times are since the simulation began, all limits per second.
pub enum Counter {
    Bucket {
        tokens: f64,
        at: Duration,
    },
    Fixed {
        per: Duration,
        /// The position of its clock within a window when the simulation begins.
        phase: Duration,
        window: u128,
        used: f64,
    },
    Sliding {
        /// The instants of the last minute, and the number counted at each.
        taken: VecDeque<(Duration, f64)>,
        used: f64,
    },
}

impl Counter {
    pub fn new(kind: Kind, limit: f64, random: &mut fastrand::Rng) -> Self {
        let mut fixed = |per: Duration| Self::Fixed {
            per,
            phase: per.mul_f64(random.f64()),
            window: 0,
            used: 0.0,
        };
        match kind {
            Kind::Bucket => Self::Bucket {
                tokens: limit.max(1.0),
                at: Duration::ZERO,
            },
            Kind::FixedMinute => fixed(MINUTE),
            Kind::FixedSecond => fixed(Duration::from_secs(1)),
            Kind::SlidingMinute => Self::Sliding {
                taken: VecDeque::new(),
                used: 0.0,
            },
        }
    }

    /// Advances the time to `now`.
    pub fn pass(&mut self, now: Duration, limit: f64) {
        match self {
            Self::Bucket { tokens, at } => {
                let refill = limit * now.saturating_sub(*at).as_secs_f64();
                *tokens = (*tokens + refill).min(limit.max(1.0));
                *at = now;
            }
            Self::Fixed {
                per,
                phase,
                window,
                used,
            } => {
                let current = (now + *phase).as_nanos() / per.as_nanos();
                if current != *window {
                    (*window, *used) = (current, 0.0);
                }
            }
            Self::Sliding { taken, used } => {
                while taken.front().is_some_and(|first| first.0 + MINUTE <= now) {
                    *used -= taken.pop_front().map_or(0.0, |(_, count)| count);
                }
            }
        }
    }

    /// The time until one more fits; zero if it fits now.
    pub fn wait(&self, now: Duration, limit: f64) -> Duration {
        match self {
            Self::Bucket { tokens, .. } if *tokens >= 1.0 - ROUNDING => Duration::ZERO,
            Self::Bucket { tokens, .. } => Duration::from_secs_f64((1.0 - tokens) / limit),
            _ if self.left(limit) >= 1 => Duration::ZERO,
            Self::Fixed { .. } => self.reset(now, limit),
            Self::Sliding { taken, used } => {
                let mut left = *used;
                let leaves_room = |(_, count): &&(Duration, f64)| {
                    left -= count;
                    left <= whole(limit * MINUTE.as_secs_f64()) - 1.0
                };
                let (at, _) = taken.iter().find(leaves_room).expect("none are left then");
                *at + MINUTE - now
            }
        }
    }

    /// Counts `count` requests or tokens, whether they fit or not.
    pub fn take(&mut self, now: Duration, count: f64) {
        match self {
            Self::Bucket { tokens, .. } => *tokens -= count,
            Self::Fixed { used, .. } => *used += count,
            Self::Sliding { taken, used } => {
                taken.push_back((now, count));
                *used += count;
            }
        }
    }

    /// The number that fits now.
    pub fn left(&self, limit: f64) -> u32 {
        match self {
            Self::Bucket { tokens, .. } => (tokens + ROUNDING).max(0.0) as u32,
            // A negative number becomes 0.
            Self::Fixed { per, used, .. } => (whole(limit * per.as_secs_f64()) - used) as u32,
            Self::Sliding { used, .. } => (whole(limit * MINUTE.as_secs_f64()) - used) as u32,
        }
    }

    /// The time until more fits than now; for the bucket, the time until it is full.
    pub fn reset(&self, now: Duration, limit: f64) -> Duration {
        match self {
            Self::Bucket { tokens, .. } => {
                Duration::from_secs_f64((limit.max(1.0) - tokens).max(0.0) / limit)
            }
            Self::Fixed {
                per, phase, window, ..
            } => {
                let end = (window + 1) * per.as_nanos() - phase.as_nanos();
                Duration::from_nanos(u64::try_from(end).unwrap()) - now
            }
            Self::Sliding { taken, .. } => taken
                .front()
                .map_or(Duration::ZERO, |first| first.0 + MINUTE - now),
        }
    }
}

/// At least one, because a window that allows none would never open.
fn whole(max: f64) -> f64 {
    (max + ROUNDING).floor().max(1.0)
}

const MINUTE: Duration = Duration::from_secs(60);
const ROUNDING: f64 = 1e-6;
