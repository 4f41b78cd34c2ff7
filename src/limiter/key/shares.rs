//! The shares that lanes have used of a window that is not paced.
//!
//! Without a pace, a window lets one lane take all of it at once. Without shares, a lane that another limit
//! delays came too late, window after window. A lane that has used its share therefore continues at the pace
//! that the limit would have if it were paced. It does so while a lane waits that has not used its share and
//! that another limit has delayed.

use std::collections::BTreeMap;

use crate::{
    limiter::LaneIndex,
    words::{Instant, Quota, Settled, Weight},
};

/// The recent departures under one limit, by lane.
#[derive(Debug, Default)]
pub(super) struct Shares {
    departures: BTreeMap<(Instant, LaneIndex), u64>,
    lanes: Vec<Share>,
}

#[derive(Clone, Debug, Default)]
struct Share {
    used: u64,
    /// The weight of the lane's last request, or of the last settled one if any was settled.
    weight: u64,
    settles: bool,
}

impl Shares {
    /// Counts a departure.
    pub(super) fn depart(&mut self, lane: LaneIndex, weight: u64, quota: &Quota, now: Instant) {
        self.forget(quota, now);
        let share = self.change(lane, now, Settled::charge(Weight(weight)));
        if !share.settles {
            share.weight = weight;
        }
    }

    /// Settles the charge of a lane at an instant. A response may state a far lower cost.
    pub(super) fn settle(&mut self, lane: LaneIndex, at: Instant, settled: Settled) {
        // If the departure has left the window already, the next look removes it again.
        let share = self.change(lane, at, settled);
        // A rejected request tells nothing about the usual weight.
        if settled.to > Weight(0) {
            (share.weight, share.settles) = (settled.to.0, true);
        }
    }

    /// The instant before which a lane does not send, so that waiting `others` that another limit has delayed
    /// can use their shares. The shares are equal in requests.
    pub(super) fn spares(
        &mut self,
        lane: LaneIndex,
        weight: u64,
        others: &[(LaneIndex, bool)],
        quota: &Quota,
        now: Instant,
    ) -> Instant {
        self.forget(quota, now);
        let of = |lane| {
            let share = self.lanes.get(usize::from(lane));
            share.filter(|share| share.weight > 0)
        };
        let usual = |lane| of(lane).map_or(weight, |share| share.weight);
        let weights = others.iter().map(|(other, _)| usual(*other));
        let round = weights.fold(usual(lane), u64::saturating_add);
        let exceeds = |share: &&Share| {
            let rounds = u128::from(share.used.saturating_add(share.weight)) * u128::from(round);
            // A share is at least one request.
            share.used > 0 && rounds > u128::from(quota.max()) * u128::from(share.weight)
        };
        let needs =
            |&(other, delayed): &(LaneIndex, bool)| delayed && of(other).filter(exceeds).is_none();
        match of(lane).filter(exceeds) {
            Some(_) if others.iter().any(needs) => self.due(quota),
            _ => Instant::START,
        }
    }

    /// The instant at which the next request would be due if the limit were paced.
    fn due(&self, quota: &Quota) -> Instant {
        let Some(((at, lane), weight)) = self.departures.last_key_value() else {
            return Instant::START;
        };
        let usual = self.lanes[usize::from(*lane)].weight;
        *at + quota.interval() * usual.min(*weight)
    }

    /// Changes the weight of a departure.
    fn change(&mut self, lane: LaneIndex, at: Instant, settled: Settled) -> &mut Share {
        let weight = self.departures.entry((at, lane)).or_default();
        let Settled { from, to } = settled;
        let before = *weight;
        *weight = before.saturating_sub(from.0).saturating_add(to.0);
        let lane = usize::from(lane);
        if self.lanes.len() <= lane {
            self.lanes.resize(lane + 1, Share::default());
        }
        let share = &mut self.lanes[lane];
        share.used = share.used.saturating_sub(before).saturating_add(*weight);
        share
    }

    fn forget(&mut self, quota: &Quota, now: Instant) {
        while let Some(departure) = self.departures.first_entry() {
            let (at, lane) = *departure.key();
            if at + quota.window() > now {
                break;
            }
            let used = &mut self.lanes[usize::from(lane)].used;
            *used = used.saturating_sub(departure.remove());
        }
    }
}
