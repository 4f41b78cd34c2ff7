//! The charge of a request in a lane, before and after its response.

use super::Key;
use crate::{
    limiter::{LaneIndex, grant::Grant, output::dear, rules::Rules},
    words::{Call, Cap, Charge, Instant, Quota, Rejected, Settled, Tokens, Weight},
};

impl Key {
    /// Whether the tokens of a lane are counted: by a quota, or since the server first named a token limit.
    pub(crate) fn counts_tokens(&self, lane: LaneIndex, rules: &Rules) -> bool {
        let learned = &self.lanes[lane].learned.tokens;
        learned.rate.is_some() || self.quotas(lane, rules).next().is_some()
    }

    /// Whether the tokens of a call's lane are counted; `None` if it has no lane yet.
    pub(crate) fn counts_tokens_of(&self, call: &Call, rules: &Rules) -> Option<bool> {
        Some(self.counts_tokens(self.lane_of(call)?, rules))
    }

    /// The tokens that a charge amounts to now. Zero if the lane counts none, since the expected cost is of
    /// no use then.
    pub(crate) fn tokens(&self, lane: LaneIndex, charge: Charge, rules: &Rules) -> Weight {
        if let Charge::Given(tokens) = charge {
            return Weight(tokens);
        }
        let room = self.quotas(lane, rules).map(|quota| quota.max()).min();
        let lane = &self.lanes[lane];
        let learned = || {
            let rate = lane.learned.tokens.rate.as_ref()?;
            Some((rate.per_second() * A_MINUTE).ceil() as u64)
        };
        let room = room.or_else(learned);
        let tokens = room.map_or(0, |room| lane.output.tokens(charge, rules.reserves(), room));
        Weight(tokens)
    }

    /// Takes the cost of a request from its response, and learns from the length of the response, once a
    /// request.
    pub(crate) fn take_cost(
        &mut self,
        grant: &mut Grant,
        cost: Tokens,
        rules: &Rules,
        now: Instant,
    ) {
        let tokens = match cost {
            Tokens::Exactly(tokens) => tokens,
            Tokens::Used(usage) => {
                let choices = std::mem::take(&mut grant.choices);
                let each = |output: u64| output.checked_div(choices.into());
                if let Some(each) = usage.output.and_then(each) {
                    self.lanes[grant.lane].output.learn(each);
                }
                // A given charge counts as it is. An expected one is raised as it was charged.
                match choices {
                    0 => usage.total,
                    _ => dear(usage.total),
                }
            }
        };
        self.settle(grant, Weight(tokens), rules, now);
    }

    /// Settles the charge of a grant to `tokens`, in every quota that was charged for it. If the table has
    /// changed since, an extra cost is charged to the quotas of the new table.
    fn settle(&mut self, grant: &mut Grant, tokens: Weight, rules: &Rules, now: Instant) {
        // A charge under another table was paid off at that table's pace. The amount that remains is not
        // known.
        let lost = grant.table != rules.number && tokens < grant.tokens;
        let (from, to) = (grant.tokens, tokens);
        let settled = Settled { from, to };
        let lane = &mut self.lanes[grant.lane];
        for &index in lane.limits.iter().filter(|_| !lost) {
            let limit = &mut self.limits[index];
            let rule = rules.rule(limit.rule);
            let Cap::Tokens(quota) = &rule.cap else {
                continue;
            };
            if !rule.ceiling && grant.outgrew {
                continue;
            }
            if let (Some(_), Some(share)) = (&lane.share, &mut self.share) {
                share.owes(index, from, to);
            } else {
                limit.bucket.settle(&rule.cap, grant.at, settled, now);
                if let Some(places) = &mut self.places {
                    places.settle(grant.lane, index, quota, grant.at, settled);
                }
            }
        }
        if let Some(share) = &mut lane.share {
            share.owes(from, to);
        }
        if let Some(rate) = &mut lane.learned.tokens.rate {
            rate.settle(grant.at, settled, now);
        }
        grant.tokens = tokens;
    }

    /// The rejection of a request that never fits.
    pub(crate) fn never_fits(
        &self,
        rejected: Rejected,
        lane: LaneIndex,
        charge: Charge,
        rules: &Rules,
    ) -> Rejected {
        let quota = self.quotas(lane, rules).min_by_key(Quota::max);
        match quota {
            Some(quota) => rejected.costing(self.tokens(lane, charge, rules).0, quota),
            None => rejected,
        }
    }

    /// The token quotas of a lane.
    fn quotas(&self, lane: LaneIndex, rules: &Rules) -> impl Iterator<Item = Quota> {
        let lane = &self.lanes[lane];
        lane.limits.iter().filter_map(move |&index| {
            let rule = rules.rule(self.limits[index].rule);
            match rule.cap {
                Cap::Tokens(quota) if !lane.outgrew(rule) => Some(quota),
                _ => None,
            }
        })
    }
}

/// The time whose tokens a lane without a token quota is believed to take at once, in seconds of its rate.
const A_MINUTE: f64 = 60.0;
