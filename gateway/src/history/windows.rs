//! How many requests may still be sent in the current window of a limit.

use std::time::Duration;

use tower_together::{
    Endpoint,
    limiter::{LaneSnapshot, LimitSnapshot, Measure},
};

use crate::history::{History, LENGTH};

/// The remaining amount of a limit. For requests, it is the maximum minus those sent in the last window by every lane
/// that shares the limit. For all other limits, it is the limiter's own figure.
pub(crate) fn left(
    limit: &LimitSnapshot,
    lane: &LaneSnapshot,
    lanes: &[LaneSnapshot],
    history: &History,
) -> u64 {
    let seconds = limit.per.map(|per| per.as_secs_f64().ceil() as usize);
    let seconds = seconds.filter(|seconds| *seconds <= LENGTH);
    let (Measure::Requests, Some(seconds)) = (limit.measure, seconds) else {
        return limit.left;
    };
    let sharing = lanes.iter().filter(|other| shares(limit, lane, other));
    let sent: u64 = sharing.map(|lane| history.sent(lane, seconds)).sum();
    limit.max.saturating_sub(sent)
}

/// The limits that several lanes share, each once, with the indices of these lanes.
pub(crate) fn shared(lanes: &[LaneSnapshot]) -> Vec<(&LimitSnapshot, Vec<usize>)> {
    let mut all: Vec<(&LimitSnapshot, Vec<usize>)> = Vec::new();
    for (place, lane) in lanes.iter().enumerate() {
        for limit in lane.limits.iter().filter(|limit| limit.shared) {
            let known = all.iter_mut().find(|(known, of)| {
                identity(known) == identity(limit) && near(&lanes[of[0]], lane)
            });
            match known {
                Some((_, of)) if of.last() == Some(&place) => {}
                Some((_, of)) => of.push(place),
                None => all.push((limit, vec![place])),
            }
        }
    }
    all
}

/// Requests a minute that the tightest limit of a lane allows, if the lane has a limit.
pub(crate) fn per_minute(lane: &LaneSnapshot) -> Option<u64> {
    let limits = lane.limits.iter();
    let rates = limits.filter_map(|limit| match (limit.measure, limit.per) {
        (Measure::Requests, Some(per)) => Some(limit.max as f64 * 60.0 / per.as_secs_f64()),
        _ => None,
    });
    rates.min_by(f64::total_cmp).map(|rate| rate.round() as u64)
}

/// Whether two lanes may share a limit: they have one endpoint, or endpoints that share the default table's limit.
fn near(lane: &LaneSnapshot, other: &LaneSnapshot) -> bool {
    lane.endpoint == other.endpoint || is_of_group(lane) && is_of_group(other)
}

/// Whether `limit`, of `lane`, also applies to `other`.
fn shares(limit: &LimitSnapshot, lane: &LaneSnapshot, other: &LaneSnapshot) -> bool {
    let is_same = std::ptr::eq(lane, other);
    let has_it = || {
        let mut limits = other.limits.iter();
        limits.any(|of_other| {
            of_other.shared && (of_other.measure, of_other.max, of_other.per) == identity(limit)
        })
    };
    is_same || limit.shared && !limit.learned && near(lane, other) && has_it()
}

fn identity(limit: &LimitSnapshot) -> (Measure, u64, Option<Duration>) {
    (limit.measure, limit.max, limit.per)
}

/// Whether the lane's endpoint is one of those that share the default table's limit.
fn is_of_group(lane: &LaneSnapshot) -> bool {
    GROUP.contains(&lane.endpoint)
}

/// The unit of a limit, as a word.
pub(crate) fn measure(measure: Measure) -> &'static str {
    match measure {
        Measure::Requests => "requests",
        Measure::Tokens => "tokens",
        Measure::InFlight => "in-flight",
        Measure::Jobs => "jobs",
        _ => "other",
    }
}

const GROUP: [Endpoint; 3] = [
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Embeddings,
];
