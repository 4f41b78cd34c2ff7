//! What a request is charged in a lane.

use super::Key;
use crate::{
    limiter::rules::Rules,
    words::{Cap, Charge, Quota, Rejected},
};

impl Key {
    /// Whether a lane is under a quota of tokens.
    pub(in crate::limiter) fn counts_tokens(&self, lane: u16, rules: &Rules) -> bool {
        self.quotas(lane, rules).next().is_some()
    }

    /// What a charge comes to now, in tokens. Where the lane counts none, what the request might take
    /// is not worth knowing.
    pub(in crate::limiter) fn tokens(&self, lane: u16, charge: Charge, rules: &Rules) -> u64 {
        if let Charge::Given(tokens) = charge {
            return tokens;
        }
        let output = &self.lanes[usize::from(lane)].output;
        let room = self.quotas(lane, rules).map(|quota| quota.max()).min();
        room.map_or(0, |room| output.tokens(charge, rules.reserves(), room))
    }

    /// The refusal of one that never fits.
    pub(in crate::limiter) fn never_fits(
        &self,
        rejected: Rejected,
        lane: u16,
        charge: Charge,
        rules: &Rules,
    ) -> Rejected {
        let quota = self.quotas(lane, rules).min_by_key(Quota::max);
        match quota {
            Some(quota) => rejected.costing(self.tokens(lane, charge, rules), quota),
            None => rejected,
        }
    }

    /// The token quotas that a lane is under.
    fn quotas(&self, lane: u16, rules: &Rules) -> impl Iterator<Item = Quota> {
        let limits = self.lanes[usize::from(lane)].limits.iter();
        limits.filter_map(
            |&index| match rules.cap(self.limits[usize::from(index)].rule) {
                Cap::Tokens(quota) => Some(*quota),
                _ => None,
            },
        )
    }
}
