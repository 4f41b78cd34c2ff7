//! The shared part of a key: its lanes, its limits, and the instants at which it calls the ledger.

use slab::Slab;
use smallvec::SmallVec;

use super::{
    Sharing,
    errand::{Errand, SharedLimit},
    lane::{CYCLE, LaneShare},
    parts::LimitShare,
};
use crate::{
    limiter::{KeyIndex, LaneIndex, key::Key, lane::Lane, rules::Rules, waiter::Waiter},
    quota::shared::Stamp,
    words::{Each, Instant, Quota, Rule, Span, Unit, Weight},
};

impl Lane {
    /// Whether a request waits, or was turned away since there was no instant for it.
    pub(super) fn needs_instants(&self) -> bool {
        self.waiting > 0 || self.share.as_ref().is_some_and(|share| share.tried)
    }

    /// Whether there is something to report.
    pub(super) fn has_report(&self) -> bool {
        let of = self.share.as_ref();
        of.is_some_and(|of| of.unreported != (0, 0) || !of.events.is_empty())
    }

    /// The mean tokens of its requests so far.
    pub(super) fn mean_tokens(&self) -> Weight {
        Weight(self.charged.checked_div(self.counts.admitted).unwrap_or(0))
    }

    /// Whether the lane departs at the ledger's instants, which stand for this rule too.
    pub(in crate::limiter) fn is_leased(&self, rule: &Rule) -> bool {
        self.share.is_some() && rule.cap.quota().is_ok()
    }
}

impl Key {
    /// Shares the limits of all lanes.
    pub(in crate::limiter) fn share_lanes(&mut self, rules: &Rules) {
        for lane in self.lane_indices() {
            self.share_lane(lane, rules);
        }
    }

    /// Shares the limits of a lane, if the key is shared. Instants under other limits are given up.
    pub(in crate::limiter) fn share_lane(&mut self, lane: LaneIndex, rules: &Rules) {
        let Some(key) = &mut self.share else { return };
        let of = &mut self.lanes[lane];
        let mut is_limited = false;
        for &index in &of.limits {
            let rule = rules.rule(self.limits[index].rule);
            if rule.cap.quota().is_ok() {
                is_limited = true;
                key.share_limit(index, rule);
            }
        }
        let before = of.share.take().filter(|_| is_limited);
        of.share = is_limited.then(|| {
            let mut share = before
                .unwrap_or_else(|| Box::new(LaneShare::new(of.endpoint, of.model.as_deref())));
            share.start_again();
            share.forget_paces();
            share
        });
    }

    /// Whether a request of `tokens` fits the quotas that a lane departs at the ledger's instants for.
    pub(in crate::limiter) fn fits_a_share(
        &self,
        lane: LaneIndex,
        tokens: Weight,
        rules: &Rules,
    ) -> bool {
        let of = &self.lanes[lane];
        of.share.is_none()
            || of.limits.iter().all(|index| {
                let rule = rules.rule(self.limits[*index].rule);
                let fits = |quota: &Quota| rule.cap.weight(tokens).0 <= quota.max();
                of.outgrew(rule) || rule.cap.quota().map_or(true, fits)
            })
    }

    /// A request of a lane has departed at an instant for which `charged` tokens were charged.
    pub(in crate::limiter) fn depart_shared(
        &mut self,
        lane: LaneIndex,
        charged: Weight,
        tokens: Weight,
        rules: &Rules,
        now: Instant,
    ) {
        let of = &self.lanes[lane];
        let Some(key) = &mut self.share else { return };
        for &index in &of.limits {
            let rule = rules.rule(self.limits[index].rule);
            if let (Some(share), false) = (key.limit(index), of.outgrew(rule)) {
                share.depart(rule.cap.weight(charged), rule.cap.weight(tokens), now);
            }
        }
        for unit in Unit::BOTH {
            let of = &mut self.lanes[lane];
            if let (true, Some(share)) = (of.learned[unit].leads(), &mut of.share) {
                share.depart_paced(unit, charged, tokens, now);
            }
        }
    }

    /// The number of processes that share the key, as the ledger said last; 0 before its first reply.
    pub(in crate::limiter) fn processes(&self) -> u64 {
        self.share.as_ref().map_or(0, |share| share.processes)
    }

    /// Forgets what is shared of the limits, whose places have changed.
    pub(in crate::limiter) fn forget_shared_limits(&mut self) {
        if let Some(share) = &mut self.share {
            share.forget_limits();
        }
    }

    pub(super) fn limit_share(&self, limit: SharedLimit) -> Option<&LimitShare> {
        match limit {
            SharedLimit::Table(index) => self.share.as_ref()?.limit_ref(index),
            SharedLimit::Pace(lane, unit) => {
                Some(&self.lanes[lane].share.as_ref()?.paces[unit].limit)
            }
        }
    }

    pub(super) fn limit_share_mut(&mut self, limit: SharedLimit) -> Option<&mut LimitShare> {
        match limit {
            SharedLimit::Table(index) => self.share.as_mut()?.limit(index),
            SharedLimit::Pace(lane, unit) => {
                Some(&mut self.lanes[lane].share.as_mut()?.paces[unit].limit)
            }
        }
    }

    /// The task that carries a call has ended.
    pub(in crate::limiter) fn lose_call(&mut self) {
        if let Some(share) = &mut self.share {
            share.asked = None;
        }
    }

    /// Whether a request waits, or was turned away since its lane had no instant.
    pub(super) fn needs_instants(&self) -> bool {
        self.waiting > 0 || self.lanes.iter().any(Lane::needs_instants)
    }

    /// The errand that is due now, and the instant of the next look.
    pub(in crate::limiter) fn errand(
        &mut self,
        index: KeyIndex,
        sharing: &Sharing,
        waiters: &Slab<Waiter>,
        rules: &Rules,
        now: Instant,
    ) -> (Option<Errand>, Instant) {
        let has_news = self.has_news();
        let needs_call = has_news || self.needs_instants();
        let Some(share) = self.share.as_ref().filter(|_| needs_call) else {
            return (None, Instant::NEVER);
        };
        // The instant from which on the key sends its own part.
        let since = sharing.away.map(|away| away.since).or(share.asked);
        let alone = since.map(|since| since + SILENT).filter(|at| *at > now);
        let alone = alone.unwrap_or(Instant::NEVER);
        if share.asked.is_some() {
            return (None, alone);
        }
        if now < sharing.retry_at {
            return (None, sharing.retry_at.min(alone));
        }
        let (heartbeat, affordable) = (share.last_call + HEARTBEAT, share.calls_due - CALLS_AHEAD);
        let (lanes, next) = self.lanes_in_need(now);
        if lanes.is_empty() && !has_news && now < heartbeat {
            return (None, next.min(heartbeat));
        }
        if now < affordable {
            return (None, affordable);
        }
        let mut errand = self.errand_of(index, &lanes, waiters, rules, now);
        self.call(&mut errand, sharing, now);
        (Some(errand), Instant::NEVER)
    }

    /// An errand that says goodbye, if the key has needed nothing for a while.
    pub(in crate::limiter) fn goodbye(
        &mut self,
        index: KeyIndex,
        sharing: &Sharing,
        waiters: &Slab<Waiter>,
        rules: &Rules,
        now: Instant,
    ) -> Option<Errand> {
        let share = self.share.as_ref()?;
        let is_idle = !self.needs_instants() && share.asked.is_none() && share.is_known;
        if !is_idle || now < share.last_call + IDLE {
            return None;
        }
        self.return_instants(rules, now);
        let mut errand = self.errand_of(index, &[], waiters, rules, now);
        self.call(&mut errand, sharing, now);
        errand.ask.leaves = true;
        self.share.as_mut()?.is_known = false;
        Some(errand)
    }

    /// Gives back the instants that no request needs.
    fn return_instants(&mut self, rules: &Rules, now: Instant) {
        for lane in self.lane_indices() {
            let of = &mut self.lanes[lane];
            let Some(share) = &mut of.share else { continue };
            // Those that have passed are lost.
            let _ = share.lease.next(now);
            let given = Each {
                requests: Weight(share.lease.left()),
                tokens: share.lease.tokens(),
            };
            share.start_again();
            for &index in &of.limits {
                let unit = rules.cap(self.limits[index].rule).unit();
                if let (Some(unit), Some(key)) = (unit, &mut self.share) {
                    key.owes(index, given[unit], Weight(0));
                }
            }
            for unit in Unit::BOTH {
                share.owes_pace(unit, given[unit], Weight(0));
            }
        }
    }

    /// The lanes that need instants now, and the instant at which another one may.
    fn lanes_in_need(&mut self, now: Instant) -> (SmallVec<[LaneIndex; 4]>, Instant) {
        let (mut lanes, mut next) = (SmallVec::new(), Instant::NEVER);
        let Some(key) = &self.share else {
            return (lanes, next);
        };
        let lead = key.lead();
        for lane in self.lane_indices() {
            let of = &mut self.lanes[lane];
            let waiting = u64::from(of.waiting);
            let needs = of.needs_instants();
            let Some(share) = &mut of.share else { continue };
            let wanted = waiting + share.soon(lead, now);
            if share.lease.next(now).is_none() {
                let returns = share.returns.and_then(|at| key.clock.maybe_at(at, now));
                match returns {
                    Some(at) if at > now => next = next.min(at),
                    _ if needs => lanes.push(lane),
                    _ => {}
                }
            } else if wanted > share.lease.left() {
                match share.lease.ends(now).map(|end| end - lead) {
                    Some(at) if at > now => next = next.min(at),
                    _ => lanes.push(lane),
                }
            }
        }
        (lanes, next)
    }

    /// Completes an errand that is sent now.
    fn call(&mut self, errand: &mut Errand, sharing: &Sharing, now: Instant) {
        self.clear_owed(errand);
        self.fill_reports(errand, now);
        for asked in &errand.lanes {
            let of = self.lanes[asked.lane].share.as_mut().expect(SHARED);
            of.asks(now);
            of.slowest = asked.slowest.1;
        }
        let share = self.share.as_mut().expect(SHARED);
        (share.asked, share.last_call) = (Some(now), now);
        // Longer leases need fewer calls.
        let calls_ahead = share.calls_due - now;
        share.calls_due = share.calls_due.max(now) + CALLS_APART;
        share.is_known = true;
        let width = share.clock.width(now).unwrap_or_default();
        errand.ask.process = sharing.process;
        errand.ask.known = share
            .processes
            .max(sharing.terms.least_processes.unwrap_or(1));
        errand.ask.memory = sharing.terms.memory.into();
        // A process that knows the clock worse than that loses instants. It must not slow down the others, which
        // would be for a minute.
        errand.ask.lateness = (width * 3 / 2).clamp(LEAST_LATENESS, MOST_LATENESS);
        errand.ask.cycle = (share.time.0 * 3).max(CYCLE) + calls_ahead / 2;
        let latest = share.clock.latest(now);
        errand.ask.until = latest.map_or(Stamp(0), |latest| Stamp(latest.0 + STALE));
    }

    /// The debts that an errand states are not stated again.
    pub(super) fn clear_owed(&mut self, errand: &Errand) {
        for index in &errand.limits {
            if let Some(share) = self.limit_share_mut(*index) {
                share.owed = 0;
            }
        }
    }
}

const SHARED: &str = "only lanes and limits of a shared key are asked for";

/// A call that has no reply for this long makes the ledger count as away.
pub(super) const SILENT: Span = Span::millis(250);
/// A key that has needed nothing for this long says goodbye, so that nothing is set aside for it.
const IDLE: Span = Span::millis(300);
const HEARTBEAT: Span = Span::millis(100);
/// Twenty calls a second, ten of them at once.
const CALLS_APART: Span = Span::millis(50);
const CALLS_AHEAD: Span = Span::millis(450);
/// A turn is offered for 10 ms, and timers are a little late.
pub(super) const LEAST_LATENESS: Span = Span::millis(15);
const MOST_LATENESS: Span = Span::millis(100);
/// In microseconds: the time after which the process no longer waits for a reply.
const STALE: u64 = 300_000;
