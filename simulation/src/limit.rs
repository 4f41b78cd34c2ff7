//! The limit of a server, as it moves.

use std::{collections::VecDeque, time::Duration};

/// The way in which a limit moves.
#[derive(Clone, Copy, Debug)]
pub enum Moves {
    /// The limit from each of these seconds on, per minute.
    Plan(&'static [(u64, f64)]),
    /// Twice the number accepted in the last hour, between 60 and 1,200 a minute: the rule that Together published in
    /// early 2026.
    Earned,
}

/// A limit, and the accepted requests that earned it.
pub struct Limit {
    moves: Moves,
    /// Empty if the limit is not earned.
    accepted: VecDeque<Duration>,
}

impl Limit {
    pub fn new(moves: Moves) -> Self {
        Self {
            moves,
            accepted: VecDeque::new(),
        }
    }

    /// The limit at `now`, per second.
    pub fn at(&mut self, now: Duration) -> f64 {
        let per_minute = match self.moves {
            Moves::Plan(plan) => at(plan, now),
            Moves::Earned => {
                while self.accepted.front().is_some_and(|at| *at + HOUR <= now) {
                    self.accepted.pop_front();
                }
                (2.0 * self.accepted.len() as f64 / 60.0).clamp(FLOOR, CAP)
            }
        };
        per_minute / 60.0
    }

    pub fn accepted(&mut self, now: Duration) {
        if let Moves::Earned = self.moves {
            self.accepted.push_back(now);
        }
    }
}

impl Moves {
    /// The seconds at which it steps, and the limit per second from there on.
    pub fn steps(self) -> Vec<(u64, f64)> {
        match self {
            Self::Plan(plan) => {
                let steps = plan.iter().skip(1);
                steps
                    .map(|(from, per_minute)| (*from, per_minute / 60.0))
                    .collect()
            }
            Self::Earned => Vec::new(),
        }
    }
}

/// The value of a plan at `now`: a plan is a list of seconds, and the value from each of them on.
pub(crate) fn at(plan: &[(u64, f64)], now: Duration) -> f64 {
    let begun = |step: &&(u64, f64)| Duration::from_secs(step.0) <= now;
    plan.iter().rfind(begun).expect("a plan begins at 0").1
}

const HOUR: Duration = Duration::from_secs(3_600);
/// The lowest earned limit, per minute.
const FLOOR: f64 = 60.0;
pub const CAP: f64 = 1_200.0;
