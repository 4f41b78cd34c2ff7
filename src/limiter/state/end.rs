//! An answer comes, and ends.

use super::State;
use crate::limiter::{grant::Grant, moment::Moment};

impl State {
    /// Gives back the slots of a permit.
    pub(in crate::limiter) fn release(&mut self, grant: &Grant, moment: &mut Moment<'_>) {
        if let Some(key) = self.registry.of(grant.key, grant.born) {
            key.release(&self.rules, grant.slots, moment.now);
            let quiet = key.is_quiet();
            self.freed(grant.key);
            if !quiet {
                self.pump(grant.key, None, moment);
            }
        }
    }

    /// Settles that a request did not cost the tokens of its grant but `tokens`.
    pub(in crate::limiter) fn settle(
        &mut self,
        grant: &Grant,
        tokens: u64,
        moment: &mut Moment<'_>,
    ) {
        let Some(key) = self.registry.of(grant.key, grant.born) else {
            return;
        };
        let Some(lane) = key.lanes.get(usize::from(grant.lane)) else {
            return;
        };
        for &index in &lane.limits {
            let limit = &mut key.limits[usize::from(index)];
            let cap = self.rules.cap(limit.rule);
            limit.bucket.settle(cap, grant.at, grant.tokens, tokens);
        }
        let lane = &mut key.lanes[usize::from(grant.lane)];
        if let Some(rate) = &mut lane.learned.tokens.rate {
            rate.settle(grant.at, grant.tokens, tokens);
        }
        self.freed(grant.key);
        self.pump(grant.key, None, moment);
    }

    /// Learns how long answers are from those to a request, which together took so many tokens.
    pub(in crate::limiter) fn learn_output(&mut self, grant: &Grant, output: u64) {
        let key = self.registry.of(grant.key, grant.born);
        let lane = key.and_then(|key| key.lanes.get_mut(usize::from(grant.lane)));
        if let (Some(lane), Some(each)) = (lane, output.checked_div(grant.answers.into())) {
            lane.output.learn(each);
        }
    }
}
