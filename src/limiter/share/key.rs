//! The shared part of a key: when it calls the ledger, what it asks, and what it does with the reply.

use slab::Slab;
use smallvec::SmallVec;

use super::{
    Sharing, Unreached,
    errand::{AskedLane, Errand},
    parts::{CYCLE, LaneShare, LimitShare},
};
use crate::{
    limiter::{
        KeyIndex, KeyRef, LaneIndex, LimitIndex, WaiterId, key::Key, lane::Lane, rules::Rules,
        waiter::Waiter,
    },
    quota::shared::{LaneAsk, Offset, Pause, Reply, Run, Stamp, Term},
    words::{Digest, Each, Instant, Quota, Rule, Span, Weight},
};

impl Lane {
    /// Whether a request waits, or was turned away since there was no instant for it.
    pub(super) fn needs_instants(&self) -> bool {
        self.waiting > 0 || self.share.as_ref().is_some_and(|share| share.tried)
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
    }

    /// Forgets what is shared of the limits, whose places have changed.
    pub(in crate::limiter) fn forget_shared_limits(&mut self) {
        if let Some(share) = &mut self.share {
            share.forget_limits();
        }
    }

    fn limit_share(&self, index: LimitIndex) -> Option<&LimitShare> {
        self.share.as_ref()?.limit_ref(index)
    }

    fn limit_share_mut(&mut self, index: LimitIndex) -> Option<&mut LimitShare> {
        self.share.as_mut()?.limit(index)
    }

    /// The task that carries a call has ended.
    pub(in crate::limiter) fn lose_call(&mut self) {
        if let Some(share) = &mut self.share {
            share.asked = None;
        }
    }

    /// Whether a request waits, or was turned away since its lane had no instant.
    fn needs_instants(&self) -> bool {
        self.waiting > 0 || self.lanes.iter().any(Lane::needs_instants)
    }

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
            for (term, limit) in errand.ask.terms.iter_mut().zip(&errand.limits) {
                alone(term, processes);
                let Some(share) = self.limit_share_mut(*limit) else {
                    continue;
                };
                share.alone_apart = term.window.div_ceil(term.max);
                term.heard = share.alone_until().map_or(Stamp(0), stamp);
            }
            self.clear_owed(&errand);
            let reply = ledger.decide(&errand.ask, stamp(now));
            self.take_lanes(&errand, &reply, &Offset::own(), now);
        }
        self.share.as_mut().expect(SHARED).alone = Some(ledger);
    }

    /// Whether a lane that departs at the ledger's instants has none.
    fn lacks(&mut self, lane: LaneIndex, now: Instant) -> bool {
        let share = self.lanes[lane].share.as_mut();
        share.is_some_and(|share| share.lease.next(now).is_none())
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
        let Some(share) = self.share.as_ref().filter(|_| self.needs_instants()) else {
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
        if lanes.is_empty() && now < heartbeat {
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

    /// What is asked for some lanes, without the process.
    fn errand_of(
        &self,
        index: KeyIndex,
        lanes: &[LaneIndex],
        waiters: &Slab<Waiter>,
        rules: &Rules,
        now: Instant,
    ) -> Errand {
        let digest = self
            .share
            .as_ref()
            .map_or(Digest::default(), |share| share.digest);
        let key = KeyRef {
            index,
            born: self.born,
        };
        let lead = self.share.as_ref().map_or(Span::ZERO, |share| share.lead());
        let mut errand = Errand::new(digest, key, rules.number, now);
        for &lane in lanes {
            let of = &self.lanes[lane];
            let head = of.queue.as_ref().and_then(|queue| queue.head());
            let charge = head.map(|head| waiters[head].charge);
            let tokens = charge.map_or(of.mean_tokens(), |charge| self.tokens(lane, charge, rules));
            let Some(share) = &of.share else { continue };
            let mut asked = AskedLane::new(lane, tokens);
            let mut costs = Vec::new();
            for &index in &of.limits {
                let rule = rules.rule(self.limits[index].rule);
                let cost = rule.cap.weight(tokens);
                let (Ok(quota), false) = (rule.cap.quota(), of.outgrew(rule)) else {
                    continue;
                };
                asked.limit(quota);
                if cost > Weight(0) {
                    costs.push((self.term(index, quota, rules, &mut errand), cost.0));
                }
            }
            errand.ask.lanes.push(LaneAsk {
                name: share.name,
                want: share.want(
                    of.waiting.into(),
                    head.map(|head| waiters[head].since),
                    lead,
                    now,
                ),
                returns: share.returns.is_some(),
                costs,
            });
            errand.lanes.push(asked);
        }
        for place in 0..self.limits.len() {
            let index = LimitIndex::new(place);
            let share = self.limit_share(index);
            let matters = share.is_some_and(|share| share.owed != 0 || share.heard > Stamp(0));
            if let (true, Ok(quota)) = (matters, rules.cap(self.limits[index].rule).quota()) {
                self.term(index, quota, rules, &mut errand);
            }
        }
        errand
    }

    /// The place of a limit among the terms of an errand.
    fn term(&self, index: LimitIndex, quota: &Quota, rules: &Rules, errand: &mut Errand) -> usize {
        let known = errand.limits.iter().position(|limit| *limit == index);
        if let Some(place) = known {
            return place;
        }
        let share = self.limit_share(index);
        errand.limits.push(index);
        errand.ask.terms.push(Term {
            name: share.map_or_else(Default::default, |share| share.name),
            max: quota.max(),
            window: quota.window(),
            lag: lag(rules.rule(self.limits[index].rule), rules, quota),
            heard: share.map_or(Stamp(0), |share| share.heard),
            owed: share.map_or(0, |share| share.owed),
        });
        errand.ask.terms.len() - 1
    }

    /// Completes an errand that is sent now.
    fn call(&mut self, errand: &mut Errand, sharing: &Sharing, now: Instant) {
        self.clear_owed(errand);
        self.report_rejections(errand, now);
        for asked in &errand.lanes {
            let of = self.lanes[asked.lane].share.as_mut().expect(SHARED);
            of.asks(now);
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
    fn clear_owed(&mut self, errand: &Errand) {
        for index in &errand.limits {
            if let Some(share) = self.limit_share_mut(*index) {
                share.owed = 0;
            }
        }
    }

    fn report_rejections(&mut self, errand: &mut Errand, now: Instant) {
        for lane in self.lane_indices() {
            let Some(share) = &mut self.lanes[lane].share else {
                continue;
            };
            let Some(rejections) = share.rejections.take() else {
                continue;
            };
            errand.paused.push(lane);
            errand.ask.pauses.push(Pause {
                lane: share.name,
                since: rejections.since,
                wait: rejections.until - now,
            });
        }
    }

    /// Takes a reply of the ledger.
    pub(in crate::limiter) fn take(
        &mut self,
        errand: &Errand,
        reply: &Reply,
        rules: &Rules,
        now: Instant,
    ) {
        let Some(share) = &mut self.share else { return };
        share.asked = None;
        let was_alone = share.alone.take().is_some();
        share.took(now - errand.made);
        share.processes = reply.members;
        let agrees = share.clock.heard(errand.made, now, reply.now);
        let clock = share.clock.clone();
        for lane in &mut self.lanes {
            if let Some(share) = &mut lane.share {
                share.lease.follow(&clock, agrees);
            }
        }
        if was_alone {
            self.return_from_alone();
        }
        if errand.table != rules.number {
            return;
        }
        for (index, due) in errand.limits.iter().zip(&reply.dues) {
            if let Some(limit) = self.limit_share_mut(*index) {
                // A server that was set back must be able to say so.
                limit.heard = if agrees { limit.heard.max(*due) } else { *due };
            }
        }
        self.take_lanes(errand, reply, &clock, now);
    }

    /// The ledger knows nothing of what departed on the key's own. The next request departs no sooner than it
    /// would have on its own.
    fn return_from_alone(&mut self) {
        for lane in self.lane_indices() {
            let mut after = Instant::START;
            for &index in &self.lanes[lane].limits {
                let until = self.limit_share(index).and_then(LimitShare::alone_until);
                after = after.max(until.unwrap_or(Instant::START));
            }
            if let Some(share) = &mut self.lanes[lane].share {
                share.lease.wait_until(after);
            }
        }
    }

    /// Gives the lanes the instants of a reply.
    fn take_lanes(&mut self, errand: &Errand, reply: &Reply, clock: &Offset, now: Instant) {
        for (asked, reply_of) in errand.lanes.iter().zip(&reply.lanes) {
            let Lane { share, gate, .. } = &mut self.lanes[asked.lane];
            let Some(share) = share else { continue };
            let late = reply.lateness.max((asked.window / 100).min(LATE)) + asked.margin;
            let first = reply_of.first.as_nanos();
            share.returns = (reply_of.n == 0).then_some(first);
            share.lease.follow(clock, true);
            share.lease.grant(Run {
                first,
                apart: reply_of.apart,
                n: reply_of.n,
                tokens: asked.tokens,
                late,
            });
            if reply_of.paused > Stamp(0) {
                let until = clock.surely_after(reply_of.paused.as_nanos(), now);
                let until = until.unwrap_or(now).min(now + AN_HOUR);
                let own = errand.paused.contains(&asked.lane);
                let is_news = reply_of.since > share.since;
                share.since = share.since.max(reply_of.since);
                let gate = gate.get_or_insert_default();
                match is_news && !own && until > now {
                    true => gate.paused_elsewhere(until, now),
                    false => drop(gate.pause(until - now, now)),
                }
            }
        }
    }

    /// A call has no reply, and may have been executed or not.
    pub(in crate::limiter) fn take_failure(&mut self, errand: &Errand, rules: &Rules) {
        if let Some(share) = &mut self.share {
            share.asked = None;
        }
        if errand.table != rules.number {
            return;
        }
        for (index, term) in errand.limits.iter().zip(&errand.ask.terms) {
            if let Some(limit) = self.limit_share_mut(*index) {
                // Charged twice rather than not at all.
                limit.owed = limit.owed.saturating_add(term.owed.max(0));
            }
        }
        for (lane, pause) in errand.paused.iter().zip(&errand.ask.pauses) {
            if let Some(share) = &mut self.lanes[*lane].share {
                share.reports(pause.since, errand.made + pause.wait);
            }
        }
    }
}

/// Reduces a limit to the part of one of `processes` processes that are on their own. The part is one less than
/// `max / processes`, since the windows of the processes do not begin together.
fn alone(term: &mut Term, processes: u64) {
    match (term.max / processes).saturating_sub(1) {
        0 => {
            term.window = term.window * processes.div_ceil(term.max).max(1);
            term.max = 1;
        }
        part => term.max = part,
    }
}

/// How far the instants of two lanes under a limit may be out of order. A limit whose lanes have no other
/// limit has its instants in order.
fn lag(rule: &Rule, rules: &Rules, quota: &Quota) -> Span {
    match rules.is_alone(rule) {
        true => Span::ZERO,
        false => (quota.window() / 100).min(WIDEST_LAG),
    }
}

fn stamp(at: Instant) -> Stamp {
    Stamp((at - Instant::START).as_nanos() / 1_000)
}

const SHARED: &str = "only lanes and limits of a shared key are asked for";

/// A call that has no reply for this long makes the ledger count as away.
const SILENT: Span = Span::millis(250);
/// A key that has needed nothing for this long says goodbye, so that nothing is set aside for it.
const IDLE: Span = Span::millis(300);
const HEARTBEAT: Span = Span::millis(100);
/// Twenty calls a second, ten of them at once.
const CALLS_APART: Span = Span::millis(50);
const CALLS_AHEAD: Span = Span::millis(450);
/// A turn is offered for 10 ms, and timers are a little late.
const LEAST_LATENESS: Span = Span::millis(15);
const MOST_LATENESS: Span = Span::millis(100);
const LATE: Span = Span::millis(50);
const WIDEST_LAG: Span = Span::millis(100);
const AN_HOUR: Span = Span::secs(3_600);
/// In microseconds: the time after which the process no longer waits for a reply.
const STALE: u64 = 300_000;
/// The number of processes that a process expects if the ledger has never told it.
const UNKNOWN: u64 = 8;
