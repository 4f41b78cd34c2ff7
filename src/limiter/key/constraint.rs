//! Everything that limits a lane, as two lists that are asked and charged: its own constraints, and the table's.

use super::{Earliest, Key, Limit};
use crate::{
    limiter::{
        LaneIndex, LimitIndex, grant::Grant, lane::Lane, learned::Learned, rules::Rules,
        share::LaneShare,
    },
    quota::{Admission, Gate, Passage, Rate, Remaining},
    words::{Amount, Each, Instant, Rule, Span, Unit, Weight},
};

/// One thing that limits a lane, beside the limits of the table.
enum Constraint<'a> {
    /// A pause, and the slow restart after it.
    Gate(&'a mut Gate),
    /// The pace that the lane has learned.
    Pace(Unit, &'a mut Rate),
    /// The pace that processes share, which counts in the lease, and whether this process learns it for all.
    SharedPace(Unit, &'a mut Rate, bool),
    /// The remainder that the server named.
    Remaining(Unit, &'a mut Remaining),
    /// The instants that the ledger has granted, for all limits on requests and tokens.
    Lease(&'a mut LaneShare),
}

impl Constraint<'_> {
    /// Asks for a request of `tokens`, with `ahead` requests before it.
    fn ask(&mut self, tokens: Weight, ahead: Amount, now: Instant) -> Admission {
        let ahead = counted(ahead, self.counts());
        let at = match self {
            Self::Lease(share) => match share.lease.next(now) {
                Some(at) => at,
                None => return Admission::Full(Instant::NEVER),
            },
            // A request that costs nothing passes, whatever is owed.
            _ if self.is_free(tokens) => Instant::START,
            Self::Gate(gate) => gate.next(),
            Self::Pace(_, rate) => rate.next(ahead.0),
            Self::SharedPace(..) => Instant::START,
            Self::Remaining(_, remaining) => remaining.next(),
        };
        match at <= now {
            true => Admission::Now,
            false => Admission::At(at),
        }
    }

    /// The instant since which it has allowed a request of `tokens`.
    fn ready(&self, tokens: Weight, now: Instant) -> Instant {
        match self {
            _ if self.is_free(tokens) => Instant::START,
            Self::Gate(gate) => gate.next(),
            Self::Pace(_, rate) => rate.next(0),
            Self::SharedPace(..) => Instant::START,
            Self::Remaining(_, remaining) => remaining.next(),
            Self::Lease(share) => share.lease.first(now),
        }
    }

    /// The unit that it counts by the second.
    fn counts(&self) -> Option<Unit> {
        match self {
            Self::Gate(_) | Self::Lease(_) => None,
            Self::Pace(unit, _) | Self::SharedPace(unit, ..) | Self::Remaining(unit, _) => {
                Some(*unit)
            }
        }
    }

    /// Whether a request of `tokens` costs nothing of it.
    fn is_free(&self, tokens: Weight) -> bool {
        tokens == Weight(0) && self.counts() == Some(Unit::Tokens)
    }

    /// The time between requests under it, if it has one.
    fn interval(&self) -> Option<Span> {
        match self {
            Self::Pace(Unit::Requests, rate) | Self::SharedPace(Unit::Requests, rate, _) => {
                rate.interval()
            }
            _ => None,
        }
    }
}

/// The requests ahead, as far as a unit counts them. Their cost in tokens is not known.
fn counted(ahead: Amount, unit: Option<Unit>) -> Amount {
    match unit {
        Some(Unit::Requests) => ahead,
        _ => Amount(0),
    }
}

impl Key {
    /// Asks everything that limits a lane, with `ahead` requests before it. `None` if the request never fits.
    pub(in crate::limiter) fn ask(
        &mut self,
        lane: LaneIndex,
        tokens: Weight,
        ahead: Amount,
        rules: &Rules,
        now: Instant,
    ) -> Option<Earliest> {
        let mut wait = Earliest {
            at: now,
            full: None,
            binding: None,
        };
        let mut fits = self.fits_a_share(lane, tokens, rules);
        let mut heed = |admission, limit| match admission {
            Admission::Never => fits = false,
            Admission::Full(until) => {
                wait.full = wait.full.max(Some(until));
                wait.binding = limit;
            }
            Admission::At(at) if at > wait.at => {
                wait.at = at;
                if wait.full.is_none() {
                    wait.binding = limit;
                }
            }
            Admission::Now | Admission::At(_) => {}
        };
        let of = &mut self.lanes[lane];
        of.each_own(|mut constraint| heed(constraint.ask(tokens, ahead, now), None));
        of.each_limit(&mut self.limits, rules, |index, rule, limit| {
            let ahead = counted(ahead, rule.cap.unit());
            heed(limit.bucket.ask(&rule.cap, tokens, ahead, now), Some(index));
        });
        fits.then_some(wait)
    }

    /// Charges everything that limits a lane. All of it has allowed the request under this same lock. Nothing
    /// but the limits has delayed the request since `ready`.
    pub(in crate::limiter) fn charge(
        &mut self,
        lane: LaneIndex,
        tokens: Weight,
        retry: bool,
        ready: Instant,
        rules: &Rules,
        now: Instant,
    ) -> Charged {
        let delay = self.delay(lane, tokens, ready, rules, now);
        let ready = delay.until;
        let mut charged = Charged {
            passage: Passage::default(),
            witness: Each::default(),
            paced: delay.by_pace.requests || delay.by_gate,
        };
        let mut leased = None;
        let of = &mut self.lanes[lane];
        of.counts.admitted += 1;
        of.in_flight += u32::from(of.slots[Grant::IN_FLIGHT].is_some());
        of.charged = of.charged.saturating_add(tokens.0);
        of.each_own(|constraint| match constraint {
            Constraint::Gate(gate) => charged.passage = gate.pass(retry, delay.apart, now),
            Constraint::Pace(Unit::Tokens, _) | Constraint::SharedPace(Unit::Tokens, ..)
                if tokens == Weight(0) => {}
            Constraint::SharedPace(unit, rate, false) => rate.others(unit.weight(tokens), now),
            Constraint::Pace(unit, rate) | Constraint::SharedPace(unit, rate, true) => {
                let delayed = delay.by_pace[unit];
                charged.witness[unit] = rate.depart(unit.weight(tokens), delayed, ready, now);
            }
            Constraint::Remaining(unit, remaining) => remaining.depart(unit.weight(tokens)),
            Constraint::Lease(share) => leased = Some(share.depart(tokens, now)),
        });
        of.each_limit(&mut self.limits, rules, |index, rule, limit| {
            limit.bucket.charge(&rule.cap, tokens, ready, now);
            if let (Some(places), Ok(quota)) = (&mut self.places, rule.cap.quota()) {
                places.depart(lane, index, quota, rule.cap.weight(tokens), now);
            }
        });
        if let Some(leased) = leased {
            self.depart_shared(lane, leased, tokens, rules, now);
        }
        charged
    }

    /// The delay of a request of `tokens` that nothing but the limits has delayed since `came`. A request is
    /// late by how long it departs after all of them allowed it.
    fn delay(
        &mut self,
        lane: LaneIndex,
        tokens: Weight,
        came: Instant,
        rules: &Rules,
        now: Instant,
    ) -> Delay {
        let mut delay = Delay {
            until: came,
            apart: None,
            by_pace: Each::default(),
            by_gate: false,
        };
        // All limits have allowed the request, so one that comes now was not delayed.
        let of = &mut self.lanes[lane];
        if came == now && of.gate.is_none() {
            return delay;
        }
        // The pace is the one that the lane has learned, if it leads, and otherwise the table's.
        let mut paces = Each::<(bool, Instant)>::default();
        of.each_own(|constraint| {
            let at = constraint.ready(tokens, now);
            delay.until = delay.until.max(at);
            delay.apart = delay.apart.max(constraint.interval());
            match constraint {
                Constraint::Pace(unit, rate) => paces[unit] = (rate.leads(), at),
                Constraint::Lease(share) => {
                    if let Some(unit) = share.slowest() {
                        paces[unit].1 = at;
                    }
                }
                _ => {}
            }
        });
        of.each_limit(&mut self.limits, rules, |_, rule, limit| {
            let at = match rule.cap.weight(tokens) {
                Weight(0) => Instant::START,
                _ => limit.bucket.ready(&rule.cap),
            };
            delay.until = delay.until.max(at);
            delay.apart = delay.apart.max(rule.cap.interval(Unit::Requests));
            if let Some(unit) = rule.cap.unit().filter(|unit| !paces[*unit].0) {
                paces[unit].1 = paces[unit].1.max(at);
            }
        });
        let gate = self.lanes[lane].gate.as_ref();
        delay.by_gate = gate.is_some_and(|gate| gate.next() > came && gate.next() == delay.until);
        for unit in Unit::BOTH {
            let (_, at) = paces[unit];
            delay.by_pace[unit] = at > came && at == delay.until;
        }
        delay
    }
}

/// The facts about a request that was charged.
pub(in crate::limiter) struct Charged {
    pub(in crate::limiter) passage: Passage,
    /// The rates for which it is a witness.
    pub(in crate::limiter) witness: Each<bool>,
    /// Whether the pace of requests, or that after a pause, was the last thing that delayed it.
    pub(in crate::limiter) paced: bool,
}

/// The delay of a request.
struct Delay {
    until: Instant,
    /// The longest time between requests under the lane's limits, if there is one.
    apart: Option<Span>,
    /// Whether the pace was the last thing that delayed it, or the gate.
    by_pace: Each<bool>,
    by_gate: bool,
}

impl Lane {
    /// Calls `act` with everything that limits the lane, beside the limits of the table. Usually there is nothing.
    fn each_own(&mut self, mut act: impl FnMut(Constraint<'_>)) {
        if let Some(gate) = &mut self.gate {
            act(Constraint::Gate(gate));
        }
        for unit in Unit::BOTH {
            let Learned { rate, remaining } = &mut self.learned[unit];
            match (rate, &self.share) {
                (Some(rate), None) => act(Constraint::Pace(unit, rate)),
                (Some(rate), Some(share)) => act(Constraint::SharedPace(unit, rate, share.learns)),
                (None, _) => {}
            }
            if let Some(remaining) = remaining {
                act(Constraint::Remaining(unit, remaining));
            }
        }
        if let Some(share) = &mut self.share {
            act(Constraint::Lease(share));
        }
    }

    /// Calls `act` with each limit of the table, its index in the key's list and its rule. A number of requests or
    /// tokens that this crate supplied is omitted if the lane has learned its own.
    fn each_limit(
        &self,
        limits: &mut [Limit],
        rules: &Rules,
        mut act: impl FnMut(LimitIndex, &Rule, &mut Limit),
    ) {
        for &index in &self.limits {
            let limit = &mut limits[usize::from(index)];
            let rule = rules.rule(limit.rule);
            if !self.outgrew(rule) && !self.is_leased(rule) {
                act(index, rule, limit);
            }
        }
    }
}
