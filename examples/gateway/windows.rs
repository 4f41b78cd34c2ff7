//! How many requests may still be sent in the current window of a limit.

use std::time::Duration;

use tower_together::{
    Endpoint,
    limiter::{LaneSnapshot, LimitSnapshot, Measure},
};

use crate::history::{History, LENGTH};

/// What is left of a limit. Of requests: its maximum without those sent in the last window, by every lane that
/// shares it. Of all else: what the limiter says.
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

/// Whether this lane's limit is the other lane's too.
fn shares(limit: &LimitSnapshot, lane: &LaneSnapshot, other: &LaneSnapshot) -> bool {
    let is_same = std::ptr::eq(lane, other);
    let has_it = || {
        let mut limits = other.limits.iter();
        limits.any(|of_other| {
            of_other.shared && (of_other.measure, of_other.max, of_other.per) == identity(limit)
        })
    };
    let is_near = lane.endpoint == other.endpoint || is_of_group(lane) && is_of_group(other);
    is_same || limit.shared && !limit.learned && is_near && has_it()
}

fn identity(limit: &LimitSnapshot) -> (Measure, u64, Option<Duration>) {
    (limit.measure, limit.max, limit.per)
}

/// Whether its endpoint is one of those that share the default table's limit.
fn is_of_group(lane: &LaneSnapshot) -> bool {
    GROUP.contains(&lane.endpoint)
}

const GROUP: [Endpoint; 3] = [
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Embeddings,
];
