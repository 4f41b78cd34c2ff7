//! The server says "not now".

use super::State;
use crate::{
    limiter::{grant::Grant, lane::Lane, moment::Moment},
    quota::{News, Restart},
};

impl State {
    /// The server answered 429, and said for how long if it did. Returns until when the lane is
    /// paused; nothing if its key is forgotten.
    pub(in crate::limiter) fn throttled(
        &mut self,
        grant: &Grant,
        wait: Option<u64>,
        of_tokens: bool,
        moment: &mut Moment<'_>,
    ) -> Option<u64> {
        self.totals.throttled += 1;
        let now = moment.now;
        if moment.settings.learning && !of_tokens {
            self.watch(grant, now);
        }
        self.pause(grant, moment, |lane| {
            lane.counts.throttled += 1;
            let refused = lane.gate().refused(grant.passage, wait, now);
            // Too many tokens says nothing of how many requests there may be.
            if let Some(rate) = lane.rate.as_mut().filter(|_| !of_tokens) {
                let wait = refused.until.saturating_sub(now);
                let known = rate.refused(grant.at, wait, refused.news, now);
                if refused.news != News::Nothing {
                    let restart = if known { Restart::Quick } else { Restart::Slow };
                    lane.gate().restart(restart);
                }
            }
            refused.until
        })
    }

    /// The server named how many requests it takes a second.
    pub(in crate::limiter) fn told(
        &mut self,
        grant: &Grant,
        per_second: f64,
        moment: &mut Moment<'_>,
    ) {
        let now = moment.now;
        if moment.settings.learning {
            self.watch(grant, now);
            self.pause(grant, moment, |lane| {
                if let Some(rate) = &mut lane.rate {
                    rate.told(per_second, grant.at, now);
                }
            });
        }
    }

    /// From now on the lane of a grant learns its pace.
    fn watch(&mut self, grant: &Grant, now: u64) {
        if let Some(key) = self.registry.of(grant.key, grant.born) {
            if usize::from(grant.lane) < key.lanes.len() {
                key.rate(grant.lane, &self.rules, now);
            }
        }
    }

    /// The server is overloaded, and said for how long. Returns until when the lane is paused.
    pub(in crate::limiter) fn overloaded(
        &mut self,
        grant: &Grant,
        wait: u64,
        moment: &mut Moment<'_>,
    ) -> Option<u64> {
        let now = moment.now;
        self.pause(grant, moment, |lane| {
            lane.gate().pause(wait, now);
            lane.gate().until()
        })
    }

    /// Changes what keeps a lane back, and lets those who wait in it know.
    fn pause<T>(
        &mut self,
        grant: &Grant,
        moment: &mut Moment<'_>,
        act: impl FnOnce(&mut Lane) -> T,
    ) -> Option<T> {
        let key = self.registry.of(grant.key, grant.born);
        let lane = key?.lanes.get_mut(usize::from(grant.lane))?;
        let before = lane.held(0, moment.now);
        let done = act(lane);
        if lane.held(0, moment.now) != before && lane.waiting > 0 {
            if !self.deadlines.is_empty() {
                self.refuse_hopeless(grant.key, moment);
            }
            self.pump(grant.key, None, moment);
        }
        Some(done)
    }
}
