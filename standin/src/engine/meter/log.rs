//! Any stretch of time of a length.

use std::collections::VecDeque;

use super::correction::Correction;
use crate::pace::Pace;

/// When what was taken last, and the sum of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<(u64, u64)>,
    sum: u64,
}

impl Log {
    pub(super) fn settle(&mut self, pace: Pace, now: u64) {
        self.forget_while(|_, at| at + pace.per <= now);
    }

    pub(super) fn take(&mut self, cost: u64, now: u64) {
        match self.entries.back_mut() {
            Some((at, before)) if *at == now => *before += cost,
            _ => self.entries.push_back((now, cost)),
        }
        self.sum += cost;
    }

    /// Forgets the oldest while the others alone fill the window: it cannot change a verdict.
    pub(super) fn forget_beyond(&mut self, most: u32) {
        self.forget_while(|others, _| others >= u64::from(most));
    }

    /// Forgets the oldest, as long as that is to be by the sum of the others, and its time.
    fn forget_while(&mut self, idle: impl Fn(u64, u64) -> bool) {
        while let Some((at, cost)) = self.entries.front() {
            if !idle(self.sum - cost, *at) {
                break;
            }
            self.sum -= cost;
            self.entries.pop_front();
        }
    }

    pub(super) fn correct(&mut self, correction: Correction) {
        let at = correction.at;
        let place = self.entries.partition_point(|(before, _)| *before < at);
        let entry = self.entries.get_mut(place);
        // If it has not been forgotten.
        if let Some((_, cost)) = entry.filter(|(then, _)| *then == at) {
            let before = *cost;
            *cost = correction.of(before);
            self.sum = self.sum - before + *cost;
        }
    }

    pub(super) fn remaining(&self, pace: Pace) -> u64 {
        u64::from(pace.max).saturating_sub(self.sum)
    }

    pub(super) fn wait(&self, pace: Pace, cost: u64, now: u64) -> u64 {
        let room = u64::from(pace.max).saturating_sub(cost);
        let mut left = self.sum;
        let leaving = self.entries.iter().take_while(|(_, cost)| {
            let in_the_way = left > room;
            left -= cost;
            in_the_way
        });
        leaving.last().map_or(0, |(at, _)| at + pace.per - now)
    }
}
