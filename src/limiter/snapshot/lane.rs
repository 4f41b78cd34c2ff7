//! A lane as a snapshot shows it.

use std::time::Duration;

use smallvec::SmallVec;

use super::{LaneSnapshot, LimitSnapshot, Measure};
use crate::{
    limiter::{LaneIndex, LimitIndex, ModelId, WaiterId, clock::Clock, key::Key, rules::Rules},
    quota::Rate,
    words::{Amount, Cap, Charge, Instant, Unit},
};

/// The number of a key's lanes that each of its limits is shared by.
pub(super) fn lanes_under(key: &Key) -> SmallVec<[u32; 4]> {
    let mut lanes_under = SmallVec::from_elem(0, key.limits.len());
    for index in key.lanes.iter().flat_map(|lane| &lane.limits) {
        lanes_under[usize::from(*index)] += 1;
    }
    lanes_under
}

/// The state of a lane, given the number of lanes under each of its key's limits.
pub(super) fn lane_of(
    key: &mut Key,
    index: LaneIndex,
    lanes_under: &[u32],
    rules: &Rules,
    charge_of: impl FnOnce(WaiterId) -> Charge,
    clock: &Clock,
    now: Instant,
) -> LaneSnapshot {
    let queue = key.lanes[index].queue.as_ref();
    let head = queue.and_then(|queue| queue.head());
    // If no request waits, for a request of one token.
    let charge = head.map_or(Charge::Given(1), charge_of);
    let tokens = key.tokens(index, charge, rules);
    let wait = key.ask(index, tokens, Amount(0), rules, now);
    let next = wait.map(|wait| wait.at).filter(|at| *at > now);
    let next = next.and_then(|at| clock.instant(at));
    let lane = &key.lanes[index];
    let in_force = lane.limits.iter().filter(|index| {
        let limit = &key.limits[**index];
        !lane.outgrew(rules.rule(limit.rule))
    });
    let in_force: SmallVec<[LimitIndex; 4]> = in_force.copied().collect();
    let limits = in_force.into_iter().map(|index| {
        let shared = lanes_under[usize::from(index)] > 1;
        let limit = &mut key.limits[index];
        let rule = rules.rule(limit.rule);
        let (measure, max, per) = match rule.cap {
            Cap::Requests(quota) => (Measure::Requests, quota.max(), Some(quota.per())),
            Cap::Tokens(quota) => (Measure::Tokens, quota.max(), Some(quota.per())),
            Cap::InFlight(max) => (Measure::InFlight, max.get().into(), None),
            Cap::Jobs(max) => {
                let slots = limit.bucket.slots();
                let max = slots.map_or(max.get(), |slots| slots.max(max, now));
                (Measure::Jobs, max.into(), None)
            }
        };
        LimitSnapshot {
            measure,
            max,
            per,
            left: limit.bucket.remaining(&rule.cap, now),
            shared: shared || rule.endpoints.len() > 1,
            ceiling: rule.ceiling,
            learned: false,
        }
    });
    let learned = Unit::BOTH.into_iter().filter_map(|unit| {
        let rate = lane.learned[unit].rate.as_ref();
        Some(learned_of(rate.filter(|rate| rate.leads())?, unit, now))
    });
    LaneSnapshot {
        limits: limits.chain(learned).collect(),
        key: label(key),
        endpoint: lane.endpoint,
        model: lane.model.clone(),
        overflow: lane.model_id == ModelId::OVERFLOW,
        waiting: lane.waiting as usize,
        next,
        paused: lane.pause(now).and_then(|until| clock.instant(until)),
        admitted: lane.counts.admitted,
        refused: lane.counts.rejected,
        throttled_count: lane.counts.throttled,
        #[expect(deprecated, reason = "the former name")]
        throttled: lane.counts.throttled,
        waited: Duration::from_micros(lane.waited_micros),
        granted: lane.share.as_ref().map(|share| share.granted()),
        lapsed: lane.share.as_ref().map_or(0, |share| share.lapsed()),
    }
}

/// A learned pace in whole numbers: per minute, or per hour if it is less than ten a minute.
fn learned_of(rate: &Rate, unit: Unit, now: Instant) -> LimitSnapshot {
    let minutes = if rate.per_second() < 10.0 / 60.0 {
        60
    } else {
        1
    };
    let per = Duration::from_secs(60 * minutes);
    LimitSnapshot {
        measure: match unit {
            Unit::Requests => Measure::Requests,
            Unit::Tokens => Measure::Tokens,
        },
        max: (rate.per_second() * per.as_secs_f64()).round() as u64,
        per: Some(per),
        left: u64::from(rate.next(0) <= now),
        shared: false,
        ceiling: false,
        learned: true,
    }
}

/// The name of a key, or a number instead.
pub(super) fn label(key: &Key) -> String {
    match &key.name {
        Some(name) => name.to_string(),
        None if key.id.is_anonymous() => "anonymous".to_owned(),
        None => format!("key-{:08x}", key.id.0 >> 32),
    }
}
