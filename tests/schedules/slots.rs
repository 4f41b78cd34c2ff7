//! The state after the last request.

use std::{collections::BTreeSet, time::Duration};

use testing::table::{Cap, Lane, Table};
use tokio::time::sleep;
use tower_together::{
    Limiter,
    limiter::{Call, Measure},
};

use crate::schedule::Schedule;

/// Nothing waits or is in flight, and as many requests of each lane can be in flight as the table says.
///
/// After `rest` no other limit makes a request wait.
pub(crate) async fn assert_free(limiter: &Limiter, schedule: &Schedule, rest: Duration) {
    assert_empty(limiter);
    let table = &schedule.tables[schedule.tables.len() - 1].1;
    let lanes: BTreeSet<_> = schedule.visits.iter().map(|visit| visit.lane).collect();
    for lane in lanes {
        assert_all_slots(limiter, table, lane, rest).await;
    }
    assert_empty(limiter);
}

fn assert_empty(limiter: &Limiter) {
    let snapshot = limiter.snapshot();
    assert_eq!(snapshot.waiting, 0, "a place is not given back");
    for lane in &snapshot.lanes {
        assert_eq!(lane.waiting, 0, "a place is not given back: {lane:?}");
        for limit in &lane.limits {
            if limit.measure == Measure::InFlight {
                assert_eq!(limit.left, limit.max, "a slot is not given back: {lane:?}");
            }
        }
    }
}

async fn assert_all_slots(limiter: &Limiter, table: &Table, lane: Lane, rest: Duration) {
    let (endpoint, model) = lane;
    let mut call = Call::new(endpoint);
    if let Some(model) = model {
        call = call.with_model(model);
    }
    let slots = table.of(lane).into_iter().find_map(|line| match line.cap {
        Cap::InFlight(max) => Some(max),
        Cap::Requests(_) | Cap::Tokens(_) => None,
    });
    let mut held = Vec::new();
    for _ in 0..slots.unwrap_or(1) {
        sleep(rest).await;
        match limiter.try_acquire(&call) {
            Ok(permit) => held.push(permit),
            Err(rejected) => panic!("{rejected}: {lane:?}, {} held", held.len()),
        }
    }
    if slots.is_some() {
        let more = limiter.try_acquire(&call);
        assert!(more.is_err(), "more than {slots:?} are in flight: {lane:?}");
    }
}
