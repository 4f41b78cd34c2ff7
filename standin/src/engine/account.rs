//! One limit for one caller, as it moves.

use std::{collections::VecDeque, iter};

use super::meter::{Correction, Meter};
use crate::{
    course::{Course, HOUR},
    limit::Limit,
    pace::Pace,
};

/// The state of one limit for one caller, and the pace it allows that caller.
#[derive(Clone, Debug)]
pub(super) struct Account {
    meter: Meter,
    pace: Pace,
    /// When it was last brought up to date.
    at: u64,
    /// When requests were accepted in the past hour, where that matters.
    successes: VecDeque<u64>,
}

impl Account {
    pub(super) fn new(limit: &Limit) -> Self {
        let pace = limit.first();
        Self {
            meter: Meter::new(pace),
            pace,
            at: 0,
            successes: VecDeque::new(),
        }
    }

    /// Brings it up to `now`, through all changes until then. The methods below want this done.
    pub(super) fn settle(&mut self, limit: &Limit, now: u64) {
        let changes = ahead(limit, self.at, &self.successes);
        for (when, pace) in changes.take_while(|(when, _)| *when <= now) {
            self.meter.settle(self.pace, when);
            self.meter.change(self.pace, pace);
            self.pace = pace;
        }
        let past = self.successes.partition_point(|at| *at + HOUR <= now);
        self.successes.drain(..past);
        self.meter.settle(self.pace, now);
        self.at = now;
    }

    /// Takes what was granted, or what counts although it was rejected.
    pub(super) fn take(&mut self, limit: &Limit, cost: u64, granted: bool) {
        if !granted {
            let most = limit.most();
            return self.meter.take_rejected(self.pace, most, cost, self.at);
        }
        self.meter.take(self.pace, cost, self.at);
        if let Course::Dynamic(dynamic) = &limit.course {
            self.successes.push_back(self.at);
            let pace = dynamic.pace(self.successes.len());
            self.meter.change(self.pace, pace);
            self.pace = pace;
        }
    }

    pub(super) fn correct(&mut self, correction: Correction) {
        self.meter.correct(self.pace, correction);
    }

    /// The average rate per second that is in force.
    pub(super) fn rate(&self) -> f64 {
        self.pace.rate()
    }

    /// How much would pass at once.
    pub(super) fn remaining(&self) -> u64 {
        self.meter.remaining(self.pace)
    }

    /// How long until this much passes, if nothing else is taken; 0 if it would now. It knows what
    /// the limit will be.
    pub(super) fn wait(&self, limit: &Limit, cost: u64) -> u64 {
        let (mut at, mut pace) = (self.at, self.pace);
        let mut wait = self.meter.wait(pace, cost, at);
        let mut later = None;
        for (when, next) in ahead(limit, at, &self.successes) {
            if wait == 0 || at + wait < when {
                break;
            }
            let meter = later.get_or_insert_with(|| self.meter.clone());
            meter.settle(pace, when);
            meter.change(pace, next);
            (at, pace) = (when, next);
            wait = meter.wait(pace, cost, at);
        }
        at + wait - self.at
    }
}

/// When the limit changes after a time, and to what, if nothing is accepted.
fn ahead<'a>(
    limit: &'a Limit,
    mut at: u64,
    successes: &'a VecDeque<u64>,
) -> impl Iterator<Item = (u64, Pace)> + use<'a> {
    let mut forgotten = 0;
    iter::from_fn(move || match &limit.course {
        Course::Dynamic(dynamic) => {
            let when = successes.get(forgotten)? + HOUR;
            forgotten += 1;
            Some((when, dynamic.pace(successes.len() - forgotten)))
        }
        Course::Steady | Course::Planned(_) => {
            at = limit.planned(at)?.1?;
            Some((at, limit.planned(at)?.0))
        }
    })
}
