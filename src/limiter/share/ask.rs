//! A call of a key: the limits that its lanes are under, and the instants that it asks for.

use slab::Slab;

use super::errand::{AskedLane, Errand, SharedLimit};
use crate::{
    limiter::{KeyIndex, KeyRef, LaneIndex, LimitIndex, key::Key, rules::Rules, waiter::Waiter},
    quota::shared::{Bound, LaneAsk, Stamp, Term},
    words::{Digest, Instant, Quota, Span, Unit, Weight},
};

impl Key {
    /// An errand for some lanes, without the process.
    pub(super) fn errand_of(
        &self,
        index: KeyIndex,
        lanes: &[LaneIndex],
        waiters: &Slab<Waiter>,
        rules: &Rules,
        now: Instant,
    ) -> Errand {
        let digest = self
            .share
            .as_ref()
            .map_or(Digest::default(), |share| share.digest);
        let key = KeyRef {
            index,
            born: self.born,
        };
        let lead = self.share.as_ref().map_or(Span::ZERO, |share| share.lead());
        let mut errand = Errand::new(digest, key, rules.number, now);
        for lane in self.lane_indices() {
            if lanes.contains(&lane)
                || self.lanes[lane].has_report()
                || self.lanes[lane].waiting > 0
            {
                self.report_on(lane, &mut errand);
            }
        }
        for &lane in lanes {
            let of = &self.lanes[lane];
            let head = of.queue.as_ref().and_then(|queue| queue.head());
            let charge = head.map(|head| waiters[head].charge);
            let tokens = charge.map_or(of.mean_tokens(), |charge| self.tokens(lane, charge, rules));
            let Some(share) = &of.share else { continue };
            let mut asked = AskedLane::new(lane, tokens);
            let mut costs = Vec::new();
            for &index in &of.limits {
                let rule = rules.rule(self.limits[index].rule);
                let cost = rule.cap.weight(tokens);
                let (Ok(quota), false) = (rule.cap.quota(), of.outgrew(rule)) else {
                    continue;
                };
                asked.limit(quota, rule.cap.unit().unwrap_or(Unit::Requests), cost);
                if cost > Weight(0) {
                    let is_paced = Unit::BOTH.iter().any(|unit| of.learned[*unit].leads());
                    let term = self.term(index, quota, is_paced, rules, &mut errand);
                    costs.push((term, cost.0));
                }
            }
            for unit in Unit::BOTH {
                let cost = unit.weight(tokens);
                let time = share.paces[unit].time(cost).filter(|_| cost > Weight(0));
                if let (true, Some(time)) = (of.learned[unit].leads(), time) {
                    asked.takes(time, unit);
                    costs.push((self.pace_term(lane, unit, &mut errand), cost.0));
                }
            }
            let place = errand.reported.iter().position(|of| *of == lane);
            errand.ask.lanes.push(LaneAsk {
                report: place.expect("asked lanes are reported on"),
                want: share.want(
                    of.waiting.into(),
                    head.map(|head| waiters[head].since),
                    lead,
                    now,
                ),
                returns: share.returns.is_some(),
                costs,
            });
            errand.lanes.push(asked);
        }
        for place in 0..self.limits.len() {
            let index = LimitIndex::new(place);
            let share = self.limit_share(SharedLimit::Table(index));
            let matters = share.is_some_and(|share| share.owed != 0 || share.heard > Stamp(0));
            if let (true, Ok(quota)) = (matters, rules.cap(self.limits[index].rule).quota()) {
                self.term(index, quota, false, rules, &mut errand);
            }
        }
        errand
    }

    /// The place of a limit among the terms of an errand.
    fn term(
        &self,
        index: LimitIndex,
        quota: &Quota,
        is_paced: bool,
        rules: &Rules,
        errand: &mut Errand,
    ) -> usize {
        let bound = Bound::Window {
            max: quota.max(),
            window: quota.window(),
        };
        // A limit whose lanes have no other limit has its instants in order.
        let rule = rules.rule(self.limits[index].rule);
        let lag = match rules.is_alone(rule) && !is_paced {
            true => Span::ZERO,
            false => (quota.window() / 100).min(WIDEST_LAG),
        };
        self.bounded(SharedLimit::Table(index), bound, lag, errand)
    }

    /// The place of a lane's learned pace among the terms of an errand.
    fn pace_term(&self, lane: LaneIndex, of: Unit, errand: &mut Errand) -> usize {
        let report = errand.reported.iter().position(|of| *of == lane);
        let report = report.expect("asked lanes are reported on");
        let bound = Bound::Pace { report, of };
        self.bounded(SharedLimit::Pace(lane, of), bound, WIDEST_LAG, errand)
    }

    fn bounded(&self, limit: SharedLimit, bound: Bound, lag: Span, errand: &mut Errand) -> usize {
        let known = errand.limits.iter().position(|of| *of == limit);
        if let Some(place) = known {
            return place;
        }
        let share = self.limit_share(limit);
        errand.limits.push(limit);
        errand.ask.terms.push(Term {
            name: share.map_or_else(Default::default, |share| share.name),
            bound,
            lag,
            heard: share.map_or(Stamp(0), |share| share.heard),
            owed: share.map_or(0, |share| share.owed),
        });
        errand.ask.terms.len() - 1
    }
}

const WIDEST_LAG: Span = Span::millis(100);
