//! An answer comes, and ends.

use super::State;
use crate::{
    limiter::{grant::Grant, moment::Moment},
    words::Weight,
};

impl State {
    /// Gives back the slots of a permit.
    pub(in crate::limiter) fn release(&mut self, grant: &Grant, moment: &mut Moment<'_>) {
        if let Some(key) = self.registry.of(grant.key) {
            key.release(&self.rules, grant, moment.now);
            let quiet = key.is_quiet();
            self.freed(grant.key.index);
            if !quiet {
                self.pump(grant.key.index, None, moment);
            }
        }
    }

    /// Settles that a request did not cost the tokens of its grant but `tokens`.
    pub(in crate::limiter) fn settle(
        &mut self,
        grant: &mut Grant,
        tokens: Weight,
        moment: &mut Moment<'_>,
    ) {
        if let Some(key) = self.registry.of(grant.key) {
            key.settle(grant, tokens, &self.rules, moment.now);
            self.freed(grant.key.index);
            self.pump(grant.key.index, None, moment);
        }
    }

    /// Learns how long answers are from those to a request, which together took so many tokens.
    pub(in crate::limiter) fn learn_output(&mut self, grant: &Grant, output: u64) {
        let key = self.registry.of(grant.key);
        let lane = key.and_then(|key| key.lanes.get_mut(usize::from(grant.lane)));
        if let (Some(lane), Some(each)) = (lane, output.checked_div(grant.answers.into())) {
            lane.output.learn(each);
        }
    }
}
