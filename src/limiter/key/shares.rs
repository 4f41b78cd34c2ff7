//! Who has used how much of a window that is not paced.
//!
//! Such a window lets one lane take all of it at once. A lane that another limit keeps back came too late
//! then, window after window. So a lane that has used its share goes on at the pace of the limit, as if that
//! were paced, while others wait that have not.

use std::collections::VecDeque;

use crate::{
    limiter::LaneIndex,
    words::{Instant, Quota},
};

/// What left of late under one limit, by lane.
#[derive(Debug, Default)]
pub(super) struct Shares {
    departures: VecDeque<(Instant, LaneIndex, u64)>,
    lanes: Vec<Share>,
    /// When the next would be due if the limit were paced.
    due: Instant,
}

#[derive(Clone, Debug, Default)]
struct Share {
    used: u64,
    /// What its last cost.
    cost: u64,
}

impl Shares {
    /// One leaves.
    pub(super) fn leave(&mut self, lane: LaneIndex, cost: u64, quota: &Quota, now: Instant) {
        self.forget(quota, now);
        self.departures.push_back((now, lane, cost));
        if self.lanes.len() <= usize::from(lane) {
            self.lanes.resize(usize::from(lane) + 1, Share::default());
        }
        let share = &mut self.lanes[usize::from(lane)];
        share.used = share.used.saturating_add(cost);
        share.cost = cost;
        self.due = now + quota.interval() * cost;
    }

    /// The instant before which a lane leaves to `others` that wait what they have not used. The shares are
    /// equal in requests.
    pub(super) fn spares(
        &mut self,
        lane: LaneIndex,
        cost: u64,
        others: &[LaneIndex],
        quota: &Quota,
        now: Instant,
    ) -> Instant {
        self.forget(quota, now);
        let of = |lane| self.lanes.get(usize::from(lane));
        let costs = others
            .iter()
            .map(|other| of(*other).map_or(cost, |share| share.cost));
        let round = costs.fold(cost, u64::saturating_add);
        let exceeds = |share: &Share, cost| {
            let rounds = u128::from(share.used.saturating_add(cost)) * u128::from(round);
            // A share is one request at least.
            share.used > 0 && rounds > u128::from(quota.max()) * u128::from(cost)
        };
        let needs = |other| of(other).is_none_or(|share| !exceeds(share, share.cost));
        match of(lane).filter(|share| exceeds(share, cost)) {
            Some(_) if others.iter().any(|other| needs(*other)) => self.due,
            _ => Instant::START,
        }
    }

    fn forget(&mut self, quota: &Quota, now: Instant) {
        while let Some((at, lane, cost)) = self.departures.front() {
            if *at + quota.window() > now {
                break;
            }
            let share = &mut self.lanes[usize::from(*lane)];
            share.used = share.used.saturating_sub(*cost);
            self.departures.pop_front();
        }
    }
}
