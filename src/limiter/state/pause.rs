//! The server says "not now".

use super::State;
use crate::limiter::{grant::Grant, lane::Lane, moment::Moment};

impl State {
    /// The server answered 429, and said for how long if it did. Returns until when the lane is
    /// paused; nothing if its key is forgotten.
    pub(in crate::limiter) fn throttled(
        &mut self,
        grant: &Grant,
        wait: Option<u64>,
        moment: &mut Moment<'_>,
    ) -> Option<u64> {
        self.totals.throttled += 1;
        let now = moment.now;
        self.pause(grant, moment, |lane| {
            lane.counts.throttled += 1;
            lane.gate().refused(grant.passage, wait, now)
        })
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

    fn pause(
        &mut self,
        grant: &Grant,
        moment: &mut Moment<'_>,
        act: impl FnOnce(&mut Lane) -> u64,
    ) -> Option<u64> {
        let key = self.registry.of(grant.key, grant.born);
        let lane = key?.lanes.get_mut(usize::from(grant.lane))?;
        let before = lane.paused(moment.now);
        let until = act(lane);
        if lane.paused(moment.now) != before && lane.waiting > 0 {
            if !self.deadlines.is_empty() {
                self.refuse_hopeless(grant.key, moment);
            }
            self.pump(grant.key, None, moment);
        }
        Some(until)
    }
}
