//! The last five minutes, one point each second, so that the page shows what led to the present.

pub(crate) mod windows;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tower_together::{
    Endpoint,
    limiter::{LaneSnapshot, Snapshot},
};

/// The history of each lane. The limiter bounds the number of lanes, and so the size of this.
#[derive(Default)]
pub(crate) struct History {
    /// Points taken so far, which is about the seconds since the start.
    tick: u64,
    lanes: HashMap<Lane, Past>,
    /// The errors and retries of all lanes at each point.
    outcomes: VecDeque<(u64, u64)>,
}

/// Identifies a lane. The key is left out because there is only one.
type Lane = (Endpoint, Option<Arc<str>>, bool);

#[derive(Default)]
struct Past {
    /// The totals when the last point was taken.
    before: Totals,
    points: VecDeque<Point>,
}

#[derive(Clone, Copy, Default)]
struct Totals {
    admitted: u64,
    refused: u64,
    throttled: u64,
    waited: Duration,
}

/// One second of a lane.
struct Point {
    sent: u64,
    waiting: usize,
    wait: Duration,
    throttled: u64,
    refused: u64,
    /// Requests a minute; 0 if there is no limit.
    limit: u64,
}

/// Points as the page draws them, the oldest first. All lists have the same length.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Series {
    /// Requests sent in each second.
    sent: Vec<u64>,
    /// Requests that waited at the end of each second.
    waiting: Vec<usize>,
    /// The average wait of the requests sent, in milliseconds.
    wait_ms: Vec<u64>,
    /// 429s from the server.
    throttled: Vec<u64>,
    /// Rejections by the gateway itself.
    refused: Vec<u64>,
    /// The limit in force, in requests a minute: configured, supplied or learned. 0 if there is none.
    limit: Vec<u64>,
}

/// Totals of the last five minutes.
#[derive(Serialize)]
pub(crate) struct Recent {
    sent: u64,
    throttled: u64,
    refused: u64,
    /// Calls that failed, without those that the gateway rejected.
    errors: u64,
    retries: u64,
}

impl History {
    /// Adds a point, once a second.
    pub(crate) fn add(&mut self, snapshot: &Snapshot, outcomes: (u64, u64)) {
        self.tick += 1;
        if self.outcomes.len() > LENGTH {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back(outcomes);
        for lane in &snapshot.lanes {
            self.lanes.entry(id(lane)).or_default().add(lane);
        }
    }

    pub(crate) fn tick(&self) -> u64 {
        self.tick
    }

    /// The totals within the points that are kept, computed from the totals since the start.
    pub(crate) fn recent(&self, (errors, retries): (u64, u64)) -> Recent {
        let before = match self.outcomes.len() > LENGTH {
            true => self.outcomes.front().copied().unwrap_or_default(),
            false => (0, 0),
        };
        let sum = |of: fn(&Point) -> u64| {
            let points = self.lanes.values().flat_map(|past| &past.points);
            points.map(of).sum()
        };
        Recent {
            sent: sum(|point| point.sent),
            throttled: sum(|point| point.throttled),
            refused: sum(|point| point.refused),
            errors: errors - before.0,
            retries: retries - before.1,
        }
    }

    /// Requests of a lane that were sent within the last `seconds`.
    pub(crate) fn sent(&self, lane: &LaneSnapshot, seconds: usize) -> u64 {
        let Some(past) = self.lanes.get(&id(lane)) else {
            return lane.admitted;
        };
        let points = past.points.iter().rev().take(seconds);
        let since = lane.admitted.saturating_sub(past.before.admitted);
        since + points.map(|point| point.sent).sum::<u64>()
    }

    /// A lane's points after the tick `since`.
    pub(crate) fn of(&self, lane: &LaneSnapshot, since: u64) -> Series {
        let Some(past) = self.lanes.get(&id(lane)) else {
            return Series::default();
        };
        let wanted = usize::try_from(self.tick.saturating_sub(since)).unwrap_or(LENGTH);
        let skipped = past.points.len().saturating_sub(wanted);
        let points = || past.points.iter().skip(skipped);
        let millis = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Series {
            sent: points().map(|point| point.sent).collect(),
            waiting: points().map(|point| point.waiting).collect(),
            wait_ms: points().map(|point| millis(point.wait)).collect(),
            throttled: points().map(|point| point.throttled).collect(),
            refused: points().map(|point| point.refused).collect(),
            limit: points().map(|point| point.limit).collect(),
        }
    }
}

impl Past {
    fn add(&mut self, lane: &LaneSnapshot) {
        let now = Totals {
            admitted: lane.admitted,
            refused: lane.refused,
            throttled: lane.throttled_count,
            waited: lane.waited,
        };
        let before = std::mem::replace(&mut self.before, now);
        let sent = now.admitted.saturating_sub(before.admitted);
        let waited = now.waited.saturating_sub(before.waited);
        if self.points.len() == LENGTH {
            self.points.pop_front();
        }
        self.points.push_back(Point {
            sent,
            waiting: lane.waiting,
            wait: mean(waited, sent),
            throttled: now.throttled.saturating_sub(before.throttled),
            refused: now.refused.saturating_sub(before.refused),
            limit: windows::per_minute(lane).unwrap_or_default(),
        });
    }
}

/// The average wait of `requests` requests.
pub(crate) fn mean(waited: Duration, requests: u64) -> Duration {
    match requests {
        0 => Duration::ZERO,
        some => waited.div_f64(some as f64),
    }
}

fn id(lane: &LaneSnapshot) -> Lane {
    (lane.endpoint, lane.model.clone(), lane.overflow)
}

/// Points that are kept: five minutes.
pub(crate) const LENGTH: usize = 300;
