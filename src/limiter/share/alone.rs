//! A key on its own: while the ledger does not reply, it grants itself its part of the limits.

use slab::Slab;

use super::{
    Sharing, Unreached,
    errand::SharedLimit,
    key::{LEAST_LATENESS, SILENT},
    parts::LimitShare,
};
use crate::{
    limiter::{KeyIndex, LaneIndex, WaiterId, key::Key, rules::Rules, waiter::Waiter},
    quota::shared::{Bound, Offset, Pace, Report, Stamp, Term},
    words::{Instant, Span, Unit},
};

impl Key {
    /// Whether the ledger is away, as far as this key is concerned.
    pub(super) fn finds_it_away(&mut self, sharing: &mut Sharing, now: Instant) -> bool {
        let asked = self.share.as_ref().and_then(|share| share.asked);
        if let Some(asked) = asked.filter(|_| self.is_unanswered(now) && self.needs_instants()) {
            sharing.goes_away(Unreached::Silent, asked);
        }
        sharing.away.is_some_and(|away| away.since + SILENT <= now)
    }

    /// Whether a call has had no reply for so long that none is expected.
    pub(super) fn is_unanswered(&self, now: Instant) -> bool {
        let asked = self.share.as_ref().and_then(|share| share.asked);
        asked.is_some_and(|asked| asked + SILENT <= now)
    }

    /// The waiting requests for which there is no instant.
    pub(super) fn without_instants(&mut self, now: Instant) -> Vec<WaiterId> {
        let mut waiters = Vec::new();
        for lane in self.lane_indices() {
            if self.lacks(lane, now) {
                if let Some(queue) = &self.lanes[lane].queue {
                    queue.in_order(|waiter, _| {
                        waiters.push(waiter);
                        true
                    });
                }
            }
        }
        waiters
    }

    /// Gives instants to the lanes that have requests and no instant left, while the ledger does not reply.
    pub(super) fn go_alone(
        &mut self,
        index: KeyIndex,
        sharing: &Sharing,
        waiters: &Slab<Waiter>,
        rules: &Rules,
        now: Instant,
    ) {
        let share = self.share.as_mut().expect(SHARED);
        let processes = match share.processes {
            0 => sharing.terms.least_processes.unwrap_or(UNKNOWN),
            known => known.max(sharing.terms.least_processes.unwrap_or(1)),
        };
        let mut ledger = share.alone.take().unwrap_or_default();
        for lane in self.lane_indices() {
            if !self.lanes[lane].needs_instants() || !self.lacks(lane, now) {
                continue;
            }
            let mut errand = self.errand_of(index, &[lane], waiters, rules, now);
            errand.ask.process = sharing.process;
            errand.ask.memory = Span::SECOND;
            errand.ask.lateness = LEAST_LATENESS;
            errand.ask.lanes[0].want = 1;
            for report in &mut errand.ask.reports {
                for unit in Unit::BOTH {
                    let apart = &mut report.paces[unit].apart;
                    *apart = apart.saturating_mul(processes).min(Pace::LONGEST);
                }
            }
            for (term, limit) in errand.ask.terms.iter_mut().zip(&errand.limits) {
                let apart = alone(term, processes, &errand.ask.reports);
                let Some(share) = self.limit_share_mut(*limit) else {
                    continue;
                };
                share.alone_apart = apart;
                term.heard = share.alone_until().map_or(Stamp(0), stamp);
            }
            if let Some(share) = &mut self.lanes[lane].share {
                // The process knows only its own part of what is sent.
                share.learns = false;
            }
            self.clear_owed(&errand);
            let reply = ledger.decide(&errand.ask, stamp(now));
            self.take_lanes(&errand, &reply, &Offset::own());
        }
        self.share.as_mut().expect(SHARED).alone = Some(ledger);
    }

    /// Whether a lane that departs at the ledger's instants has none.
    pub(super) fn lacks(&mut self, lane: LaneIndex, now: Instant) -> bool {
        let share = self.lanes[lane].share.as_mut();
        share.is_some_and(|share| share.lease.next(now).is_none())
    }

    /// The ledger knows nothing of what departed on the key's own. The next request departs no sooner than it
    /// would have on its own.
    pub(super) fn return_from_alone(&mut self) {
        for lane in self.lane_indices() {
            let mut after = Instant::START;
            for &index in &self.lanes[lane].limits {
                let limit = self.limit_share(SharedLimit::Table(index));
                let until = limit.and_then(LimitShare::alone_until);
                after = after.max(until.unwrap_or(Instant::START));
            }
            if let Some(share) = &mut self.lanes[lane].share {
                share.lease.wait_until(after);
            }
        }
    }
}

/// Reduces a limit to the part of one of `processes` processes that are on their own. The part is one less than
/// `max / processes`, since the windows of the processes do not begin together. Returns the time between
/// departures.
fn alone(term: &mut Term, processes: u64, reports: &[Report]) -> Span {
    match &mut term.bound {
        Bound::Pace { report, of } => Span::nanos(reports[*report].paces[*of].apart / 1_000),
        Bound::Window { max, window } => {
            match (*max / processes).saturating_sub(1) {
                0 => {
                    *window = *window * processes.div_ceil(*max).max(1);
                    *max = 1;
                }
                part => *max = part,
            }
            window.div_ceil(*max)
        }
    }
}

fn stamp(at: Instant) -> Stamp {
    Stamp((at - Instant::START).as_nanos() / 1_000)
}

const SHARED: &str = "only a shared key is on its own";
/// The number of processes that a process expects if the ledger has never told it.
const UNKNOWN: u64 = 8;
