use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;
use tokio::time;

use super::{
    LaneIndex, LimitIndex, ModelId, WaiterId, clock::Clock, key::Key, rules::Rules, shared::Shared,
    state::State,
};
use crate::{
    quota::Rate,
    words::{Amount, Cap, Charge, Endpoint, Instant, Unit},
};

/// The state of a limiter at one instant, from [`Limiter::snapshot`](super::Limiter::snapshot).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The lanes of all remembered keys.
    pub lanes: Vec<LaneSnapshot>,
    /// The jobs that hold a slot.
    pub jobs: Vec<JobSnapshot>,
    /// The number of remembered keys.
    pub keys: usize,
    /// The number of waiting requests.
    pub waiting: usize,
    /// The number of requests admitted since the limiter was made.
    pub admitted: u64,
    /// The number of requests that the limiter itself has rejected since it was made.
    pub refused: u64,
    /// The number of 429 responses from the server since the limiter was made.
    pub throttled_count: u64,
    /// The former name of [`throttled_count`](Self::throttled_count).
    #[deprecated(since = "0.1.0", note = "renamed `throttled_count`")]
    pub throttled: u64,
    /// Whether the limiter was closed.
    pub closed: bool,
    /// How the limits are [shared with other processes](crate::Limiter#method.shared_by); `None` if they are not.
    pub sharing: Option<SharingSnapshot>,
}

/// How limits are shared with other processes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SharingSnapshot {
    /// The number of processes that share the busiest key, as Redis said last; 0 before its first reply.
    pub processes: u64,
    /// For how long Redis has not replied, and why. The process sends its own part of the limits meanwhile, or
    /// nothing. `None` while Redis replies.
    pub away: Option<(Duration, &'static str)>,
}

/// One lane: the requests of one key to one endpoint, with one model where models differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LaneSnapshot {
    /// The key's name if it has one. Otherwise a number that reveals nothing of the key and changes from run
    /// to run.
    pub key: String,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The model, if the lane's requests name one.
    pub model: Option<Arc<str>>,
    /// Whether this is the lane that the key's further models share.
    pub overflow: bool,
    /// The limits of the lane.
    pub limits: Vec<LimitSnapshot>,
    /// The number of requests waiting in it.
    pub waiting: usize,
    /// The instant at which the next request may be sent. `None` if one may be sent now, or if the instant is
    /// not known because all slots are taken.
    pub next: Option<time::Instant>,
    /// The end of a pause that the server asked for, if it has not passed.
    pub paused: Option<time::Instant>,
    /// The number of requests admitted.
    pub admitted: u64,
    /// The number of requests that the limiter itself rejected.
    pub refused: u64,
    /// The number of 429 responses from the server.
    pub throttled_count: u64,
    /// The former name of [`throttled_count`](Self::throttled_count).
    #[deprecated(since = "0.1.0", note = "renamed `throttled_count`")]
    pub throttled: u64,
    /// The total time that admitted requests waited for their turn. Divide its growth by the growth of
    /// [`admitted`](LaneSnapshot::admitted) to get the mean wait of that time.
    pub waited: Duration,
    /// The instants at which the lane may send that Redis has granted and that have not come; `None` if the
    /// lane's limits are not shared.
    pub granted: Option<u64>,
    /// The granted instants that passed before a request could use them.
    pub lapsed: u64,
}

/// One limit of a lane.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LimitSnapshot {
    /// The thing that the limit counts.
    pub measure: Measure,
    /// The number that it allows. For jobs this is less than the table's number while the server was seen to
    /// allow fewer.
    pub max: u64,
    /// The window of a quota; `None` for limits on requests in flight and on jobs.
    pub per: Option<Duration>,
    /// The number that could be sent at once now, or the number of free slots.
    pub left: u64,
    /// Whether other lanes share it.
    pub shared: bool,
    /// Whether the user wrote the number.
    pub ceiling: bool,
    /// Whether it was learned from the server, and replaces the numbers that this crate supplied.
    pub learned: bool,
}

/// A job that holds a slot, until it is known to have [ended](crate::jobs).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobSnapshot {
    /// The key, as in [`LaneSnapshot::key`].
    pub key: String,
    /// The endpoint that creates such jobs.
    pub endpoint: Endpoint,
    /// The job's id.
    pub id: Arc<str>,
}

/// The thing that a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Measure {
    /// Requests per window.
    Requests,
    /// Tokens per window.
    Tokens,
    /// Requests in flight.
    InFlight,
    /// Jobs that have not ended.
    Jobs,
}

impl Snapshot {
    pub(super) fn take(shared: &Shared) -> Self {
        shared.with(|state, moment| Self::of(state, &shared.clock, moment.now))
    }

    fn of(state: &mut State, clock: &Clock, now: Instant) -> Self {
        let mut lanes = Vec::new();
        for (_, key) in state.registry.iter_mut() {
            for lane in key.lane_indices() {
                let charge = |id: WaiterId| state.waiters[id].charge;
                lanes.push(lane_of(key, lane, &state.rules, charge, clock, now));
            }
        }
        let jobs = state.jobs.iter().filter_map(|held| {
            Some(JobSnapshot {
                key: label(state.registry.living(held.key)?),
                endpoint: held.creation,
                id: Arc::clone(&held.id),
            })
        });
        Self {
            jobs: jobs.collect(),
            lanes,
            keys: state.registry.len(),
            waiting: state.waiters.len(),
            admitted: state.totals.admitted,
            refused: state.totals.rejected,
            throttled_count: state.totals.throttled,
            #[expect(deprecated, reason = "the former name")]
            throttled: state.totals.throttled,
            closed: state.is_closed(),
            sharing: state.sharing_snapshot(now),
        }
    }
}

fn lane_of(
    key: &mut Key,
    index: LaneIndex,
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
        let sharing = key.lanes.iter().filter(|lane| lane.limits.contains(&index));
        let shared = sharing.count() > 1;
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

fn label(key: &Key) -> String {
    match &key.name {
        Some(name) => name.to_string(),
        None if key.id.is_anonymous() => "anonymous".to_owned(),
        None => format!("key-{:08x}", key.id.0 >> 32),
    }
}
