//! The fair share of each lane.

use testing::table::{Cap, Line};

use crate::busy::{Busy, BusyLane};

/// Each lane gets at least a third of its max-min fair share, and one of its limits is busy for 75 % of the
/// time. Tells whether each gets half, and one of its limits is busy for 95 %.
///
/// Paced limits that keep requests apart by different times cannot all be used to 95 %. Under one of 69 in 30 s
/// and one of 76, of which others take 7, a lane leaves at most 63 times: each departure of another moves its
/// next one by up to an interval. So to what is used of a limit is added how long the lane's other limits were
/// busy with lanes that are not under it. Where three such limits meet, it can be less still, and so can the
/// share of a lane that has to find all three free.
pub(crate) fn assert_fair(busy: &Busy) -> bool {
    let sent = busy.sent();
    let fair = busy.fair();
    let part = |line: &Line, by: &dyn Fn(usize) -> bool| {
        let costs = busy.under(line).into_iter().filter(|n| by(*n));
        let used: f64 = costs.map(|n| sent[n] as f64 * busy.cost(line, n)).sum();
        used / busy.capacity(line)
    };
    let is_busy = |lines: &[&Line], of: &Line| {
        let under = busy.under(of);
        let others = lines.iter().filter(|line| !std::ptr::eq(**line, of));
        let others = others.map(|line| part(line, &|n| !under.contains(&n)));
        part(of, &|_| true) + others.sum::<f64>()
    };
    let busy_for: Vec<_> = busy
        .lanes
        .iter()
        .map(|lane| {
            let lines = busy.table.of(lane.lane);
            let parts = lines.iter().map(|line| is_busy(&lines, line));
            parts.fold(0.0, f64::max)
        })
        .collect();
    let parts = sent.iter().zip(&fair);
    let parts = parts.map(|(sent, fair)| (*sent as f64 + 0.5) / fair.max(1.0));
    let (share, used) = (
        parts.fold(1.0, f64::min),
        busy_for.iter().copied().fold(1.0, f64::min),
    );
    assert!(
        share >= 1.0 / 3.0 && used >= 0.75,
        "sent {sent:?}, fair {fair:.0?}, busy {busy_for:.2?} under {busy:#?}"
    );
    share >= 0.5 && used >= 0.95
}

impl Busy {
    /// Progressive filling: all lanes send more at the same pace, and a lane stops once one of its limits is
    /// full.
    fn fair(&self) -> Vec<f64> {
        let mut sent = vec![0.0; self.lanes.len()];
        let mut filling: Vec<_> = (0..sent.len()).collect();
        while !filling.is_empty() {
            let room = |line| {
                let under = self.under(line);
                let cost = |n: &usize| self.cost(line, *n);
                let used: f64 = under.iter().map(|n| sent[*n] * cost(n)).sum();
                let more: f64 = under.iter().filter(|n| filling.contains(n)).map(cost).sum();
                (more > 0.0).then(|| ((self.capacity(line) - used) / more, line))
            };
            let rooms = self.table.lines.iter().filter_map(room);
            let least = rooms.min_by(|(one, _), (other, _)| one.total_cmp(other));
            let (room, full) = least.expect("each lane is under a limit");
            filling.iter().for_each(|n| sent[*n] += room);
            let stopped = self.under(full);
            filling.retain(|n| !stopped.contains(n));
        }
        sent
    }

    /// The lanes under a line.
    fn under(&self, line: &Line) -> Vec<usize> {
        let under = |n: &usize| self.table.of(self.lanes[*n].lane).contains(&line);
        (0..self.lanes.len()).filter(under).collect()
    }

    /// The use of a line by one request of a lane: one, its tokens, or the seconds for which it holds a slot.
    fn cost(&self, line: &Line, n: usize) -> f64 {
        let BusyLane { cost, takes, .. } = self.lanes[n];
        match line.cap {
            Cap::Requests(_) => 1.0,
            Cap::Tokens(_) => cost as f64,
            // Timers are late by a millisecond.
            Cap::InFlight(_) => (takes + 1) as f64 / 1_000.0,
        }
    }

    /// The capacity of a line over the whole time, in its own unit.
    fn capacity(&self, line: &Line) -> f64 {
        let time = self.time().as_secs_f64();
        match line.cap {
            Cap::Requests(quota) | Cap::Tokens(quota) => {
                let costs = self.under(line).into_iter().map(|n| self.cost(line, n));
                // A window that is counted holds whole requests.
                let kept = match quota == quota.unpaced() {
                    true => costs.fold(1.0, f64::max) - 1.0,
                    false => quota.burst() as f64 - 1.0,
                };
                let window = quota.per() + quota.margin();
                (quota.max() as f64 - kept) * time / window.as_secs_f64()
            }
            Cap::InFlight(max) => f64::from(max) * time,
        }
    }
}
