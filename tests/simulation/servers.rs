//! Strict servers, as naive as can be: they share no code with the crate.

use std::{collections::VecDeque, time::Duration};

/// How a server counts 600 requests a minute. All times are since the simulation began.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// 600 in each minute of the server's own clock.
    FixedMinute,
    /// 600 in the last 60 seconds, whenever.
    Sliding,
    /// A bucket of 10 that refills ten a second.
    Bucket,
    /// 10 in each second of the server's own clock.
    FixedSecond,
}

pub(crate) enum Server {
    Fixed {
        max: u32,
        per: Duration,
        /// How far into a window its clock is when the simulation begins.
        phase: Duration,
        window: u128,
        used: u32,
    },
    Sliding {
        accepted: VecDeque<Duration>,
    },
    Bucket {
        tokens: f64,
        at: Duration,
    },
}

impl Server {
    pub(crate) fn new(kind: Kind, random: &mut fastrand::Rng) -> Self {
        let mut fixed = |max, per: Duration| Self::Fixed {
            max,
            per,
            phase: per.mul_f64(random.f64()),
            window: 0,
            used: 0,
        };
        match kind {
            Kind::FixedMinute => fixed(600, MINUTE),
            Kind::FixedSecond => fixed(10, Duration::from_secs(1)),
            Kind::Sliding => Self::Sliding {
                accepted: VecDeque::new(),
            },
            Kind::Bucket => Self::Bucket {
                tokens: 10.0,
                at: Duration::ZERO,
            },
        }
    }

    /// A request arrives: is it accepted? One that is not costs nothing.
    pub(crate) fn accepts(&mut self, now: Duration) -> bool {
        match self {
            Self::Fixed {
                max,
                per,
                phase,
                window,
                used,
            } => {
                let current = (now + *phase).as_nanos() / per.as_nanos();
                if current != *window {
                    (*window, *used) = (current, 0);
                }
                let free = used < max;
                *used += u32::from(free);
                free
            }
            Self::Sliding { accepted } => {
                while accepted.front().is_some_and(|first| *first + MINUTE <= now) {
                    accepted.pop_front();
                }
                let free = accepted.len() < 600;
                if free {
                    accepted.push_back(now);
                }
                free
            }
            Self::Bucket { tokens, at } => {
                *tokens = (*tokens + 10.0 * (now - *at).as_secs_f64()).min(10.0);
                *at = now;
                let free = *tokens >= 1.0;
                *tokens -= f64::from(u8::from(free));
                free
            }
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
