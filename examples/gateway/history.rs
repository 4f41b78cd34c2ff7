//! The last minutes, a point each second, so that whoever opens the page sees what led here.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tokio::time::interval;
use tower_together::{
    Endpoint,
    limiter::{LaneSnapshot, Snapshot},
};

use crate::app::Gateway;

/// What each lane did. The limiter bounds the number of lanes, and so this.
#[derive(Default)]
pub(crate) struct History {
    /// Points taken so far: seconds, as far as anybody can tell.
    tick: u64,
    lanes: HashMap<Lane, Past>,
}

/// Which lane; there is one key, so that it need not be named.
type Lane = (Endpoint, Option<Arc<str>>, bool);

#[derive(Default)]
struct Past {
    /// What had been counted when the last point was taken.
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
}

/// Points as the page draws them, the oldest first; all lists are of one length.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Series {
    /// Requests that left in each second.
    sent: Vec<u64>,
    /// Requests that waited at its end.
    waiting: Vec<usize>,
    /// How long those that left had waited, on average, in milliseconds.
    wait_ms: Vec<u64>,
    /// 429s of the server.
    throttled: Vec<u64>,
    /// Refusals of the gateway's own.
    refused: Vec<u64>,
}

/// Takes a point each second, for ever.
pub(crate) async fn sample(gateway: Arc<Gateway>) {
    let mut clock = interval(SECOND);
    loop {
        clock.tick().await;
        let snapshot = gateway.limiter.snapshot();
        gateway.history().add(&snapshot);
    }
}

impl History {
    fn add(&mut self, snapshot: &Snapshot) {
        self.tick += 1;
        for lane in &snapshot.lanes {
            self.lanes.entry(id(lane)).or_default().add(lane);
        }
    }

    pub(crate) fn tick(&self) -> u64 {
        self.tick
    }

    /// A lane's points after that of the tick `since`.
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
        }
    }
}

impl Past {
    fn add(&mut self, lane: &LaneSnapshot) {
        let now = Totals {
            admitted: lane.admitted,
            refused: lane.refused,
            throttled: lane.throttled,
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
        });
    }
}

/// What each of so many waited on average.
pub(crate) fn mean(waited: Duration, requests: u64) -> Duration {
    match requests {
        0 => Duration::ZERO,
        some => waited.div_f64(some as f64),
    }
}

fn id(lane: &LaneSnapshot) -> Lane {
    (lane.endpoint, lane.model.clone(), lane.overflow)
}

const SECOND: Duration = Duration::from_secs(1);
/// Five minutes.
const LENGTH: usize = 300;
