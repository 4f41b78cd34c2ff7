//! The lanes of a key.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Key, Limit};
use crate::{
    limiter::{
        LaneIndex, LimitIndex, ModelId, grant::Grant, lane::Counts, lane::Lane, output::Output,
        rules::Rules,
    },
    quota::{Bucket, Rate},
    words::{Call, Cap, Each, Endpoint, Instant, Unit},
};

impl Key {
    /// The lane of a call, made if there is none.
    pub(in crate::limiter) fn lane(
        &mut self,
        call: &Call,
        rules: &Rules,
        max_lanes: usize,
    ) -> LaneIndex {
        let model_id = id_of(call);
        if let Some(lane) = self.find(call.endpoint, model_id) {
            return lane;
        }
        let Some(model) = &call.model else {
            return self.add_lane(call.endpoint, model_id, None, rules);
        };
        if self.lanes.len() < max_lanes || rules.knows(model) {
            return self.add_lane(call.endpoint, model_id, Some(Arc::clone(model)), rules);
        }
        self.find(call.endpoint, ModelId::OVERFLOW)
            .unwrap_or_else(|| self.add_lane(call.endpoint, ModelId::OVERFLOW, None, rules))
    }

    /// The indices of all lanes, in order.
    pub(in crate::limiter) fn lane_indices(&self) -> impl Iterator<Item = LaneIndex> + use<> {
        (0..self.lanes.len()).map(LaneIndex::new)
    }

    /// The lane of a call, if there is one.
    pub(super) fn lane_of(&self, call: &Call) -> Option<LaneIndex> {
        let own = self.find(call.endpoint, id_of(call));
        own.or_else(|| self.find(call.endpoint, ModelId::OVERFLOW))
    }

    pub(super) fn find(&self, endpoint: Endpoint, model_id: ModelId) -> Option<LaneIndex> {
        let mut lanes = self.lanes.iter();
        let lane = lanes.position(|lane| lane.model_id == model_id && lane.endpoint == endpoint)?;
        Some(LaneIndex::new(lane))
    }

    fn add_lane(
        &mut self,
        endpoint: Endpoint,
        model_id: ModelId,
        model: Option<Arc<str>>,
        rules: &Rules,
    ) -> LaneIndex {
        self.lanes.push(Lane {
            endpoint,
            model_id,
            model,
            limits: SmallVec::new(),
            slots: [None; 2],
            in_flight: 0,
            gate: None,
            learned: Each::default(),
            queue: None,
            output: Output::default(),
            waiting: 0,
            awaits_job: false,
            counts: Counts::default(),
            charged: 0,
            waited_micros: 0,
            share: None,
        });
        let lane = LaneIndex::new(self.lanes.len() - 1);
        self.limit_lane(lane, rules);
        lane
    }

    /// Puts a lane under the limits of its rules, made where there are none.
    pub(super) fn limit_lane(&mut self, lane: LaneIndex, rules: &Rules) {
        let index = lane;
        let Self { limits, lanes, .. } = self;
        let lane = &mut lanes[lane];
        (lane.limits, lane.slots) = (SmallVec::new(), [None; 2]);
        for rule in rules.of(lane.endpoint, lane.model.as_deref()) {
            let cap = rules.cap(rule);
            let known = limits.iter().position(|limit| limit.rule == rule);
            let place = known.unwrap_or_else(|| {
                limits.push(Limit::new(rule, Bucket::new(cap)));
                limits.len() - 1
            });
            lane.limits.push(LimitIndex::new(place));
            match cap {
                Cap::InFlight(_) => lane.slots[Grant::IN_FLIGHT] = Some(rules.id(rule)),
                Cap::Jobs(_) => lane.slots[Grant::JOB] = Some(rules.id(rule)),
                Cap::Requests(_) | Cap::Tokens(_) => {}
            }
        }
        self.share_lane(index, rules);
    }

    /// The pace of a lane. If there was none, it is measured from now on, and begins with the table's number.
    pub(in crate::limiter) fn rate(
        &mut self,
        lane: LaneIndex,
        unit: Unit,
        rules: &Rules,
        now: Instant,
    ) -> &mut Rate {
        let lane = &mut self.lanes[lane];
        lane.learned[unit].rate.get_or_insert_with(|| {
            let (mut rate, mut ceiling) = (f64::INFINITY, f64::INFINITY);
            for &index in &lane.limits {
                let rule = rules.rule(self.limits[index].rule);
                if let Some(interval) = rule.cap.interval(unit) {
                    let allowed = 1e9 / interval.as_nanos() as f64;
                    rate = rate.min(allowed);
                    if rule.ceiling {
                        ceiling = ceiling.min(allowed);
                    }
                }
            }
            Box::new(Rate::new(unit, rate, ceiling, now))
        })
    }
}

fn id_of(call: &Call) -> ModelId {
    call.model.as_ref().map_or(ModelId::NONE, ModelId::of)
}
