//! What a request is charged in a lane, before and after its response.

use super::Key;
use crate::{
    limiter::{LaneIndex, grant::Grant, output::dear, rules::Rules},
    words::{Call, Cap, Charge, Instant, Quota, Rejected, Settled, Tokens, Weight},
};

impl Key {
    /// Whether the tokens of a lane are counted: by a quota, or since the server spoke of them.
    pub(crate) fn counts_tokens(&self, lane: LaneIndex, rules: &Rules) -> bool {
        let learned = &self.lanes[lane].learned.tokens;
        learned.rate.is_some() || self.quotas(lane, rules).next().is_some()
    }

    /// The same of the lane of a call, if there is one.
    pub(crate) fn counts_tokens_of(&self, call: &Call, rules: &Rules) -> Option<bool> {
        Some(self.counts_tokens(self.lane_of(call)?, rules))
    }

    /// What a charge comes to now, in tokens. Where the lane counts none, what the request might take
    /// is not worth knowing.
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

    /// Takes what a response says that its request cost, and how long the response was: that once.
    pub(crate) fn spent(&mut self, grant: &mut Grant, cost: Tokens, rules: &Rules, now: Instant) {
        let tokens = match cost {
            Tokens::Exactly(tokens) => tokens,
            Tokens::Used(usage) => {
                let answers = std::mem::take(&mut grant.answers);
                let each = |output: u64| output.checked_div(answers.into());
                if let Some(each) = usage.output.and_then(each) {
                    self.lanes[grant.lane].output.learn(each);
                }
                // As it was charged: what somebody gave counts as it is.
                match answers {
                    0 => usage.total,
                    _ => dear(usage.total),
                }
            }
        };
        self.settle(grant, Weight(tokens), rules, now);
    }

    /// Settles that a request did not cost the tokens of its grant but `tokens`, in every quota that was
    /// charged for it; what more it cost, under another table, in the quotas of that.
    fn settle(&mut self, grant: &mut Grant, tokens: Weight, rules: &Rules, now: Instant) {
        // A charge under another table was paid off at that table's pace: how much is left is not known.
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
            if rule.ceiling || !grant.outgrew {
                limit.bucket.settle(&rule.cap, grant.at, settled, now);
                if let Some(places) = &mut self.places {
                    places.settle(grant.lane, index, quota, grant.at, settled);
                }
            }
        }
        if let Some(rate) = &mut lane.learned.tokens.rate {
            rate.settle(grant.at, settled, now);
        }
        grant.tokens = tokens;
    }

    /// The refusal of one that never fits.
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

    /// The token quotas that a lane is under.
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

/// What a lane without a quota of tokens is believed to take at once, in seconds of its rate.
const A_MINUTE: f64 = 60.0;
