//! What a lane is under, as one list: asked, charged and settled alike.

use super::{Key, Limit, Wait};
use crate::{
    limiter::{LaneIndex, LimitIndex, grant::Grant, lane::Lane, learned::Learned, rules::Rules},
    quota::{Gate, Left, Passage, Rate, Verdict},
    words::{Count, Each, Instant, Rule, Span, Unit, Weight},
};

/// One of what keeps a lane back.
enum Constraint<'a> {
    /// A pause, and the slow restart after it.
    Gate(&'a mut Gate),
    /// The pace that the lane has learned.
    Pace(Unit, &'a mut Rate),
    /// What the server says is left.
    Left(Unit, &'a mut Left),
    /// A limit of the table.
    Limit(LimitIndex, &'a Rule, &'a mut Limit),
}

impl Constraint<'_> {
    /// Asks for a request of so many tokens, with so many requests before it.
    fn ask(&mut self, tokens: Weight, ahead: Count, now: Instant) -> Verdict {
        // What those before it cost in tokens is not known.
        let ahead = match self.counts() {
            Some(Unit::Requests) => ahead,
            _ => Count(0),
        };
        let at = match self {
            Self::Limit(_, rule, limit) => return limit.bucket.ask(&rule.cap, tokens, ahead, now),
            // What costs nothing passes, whatever others owe.
            _ if self.is_free(tokens) => Instant::START,
            Self::Gate(gate) => gate.next(),
            Self::Pace(_, rate) => rate.next(ahead.0),
            Self::Left(_, left) => left.next(),
        };
        match at <= now {
            true => Verdict::Now,
            false => Verdict::At(at),
        }
    }

    /// Since when it has let a request of so many tokens leave.
    fn ready(&self, tokens: Weight) -> Instant {
        match self {
            _ if self.is_free(tokens) => Instant::START,
            Self::Gate(gate) => gate.next(),
            Self::Pace(_, rate) => rate.next(0),
            Self::Left(_, left) => left.next(),
            Self::Limit(_, rule, limit) => limit.bucket.ready(&rule.cap),
        }
    }

    /// What it counts by the second.
    fn counts(&self) -> Option<Unit> {
        match self {
            Self::Gate(_) => None,
            Self::Pace(unit, _) | Self::Left(unit, _) => Some(*unit),
            Self::Limit(_, rule, _) => rule.cap.unit(),
        }
    }

    /// Whether a request of so many tokens costs nothing of it.
    fn is_free(&self, tokens: Weight) -> bool {
        tokens == Weight(0) && self.counts() == Some(Unit::Tokens)
    }

    /// Its place in the key's list, of a limit of the table.
    fn limit(&self) -> Option<LimitIndex> {
        match self {
            Self::Limit(index, ..) => Some(*index),
            _ => None,
        }
    }

    /// How far apart it keeps requests, if it does.
    fn interval(&self) -> Option<Span> {
        match self {
            Self::Pace(Unit::Requests, rate) => rate.interval(),
            Self::Limit(_, rule, _) => rule.cap.interval(Unit::Requests),
            _ => None,
        }
    }
}

impl Key {
    /// Asks everything that a lane is under, with so many requests before it. `None` if it never fits.
    pub(in crate::limiter) fn ask(
        &mut self,
        lane: LaneIndex,
        tokens: Weight,
        ahead: Count,
        rules: &Rules,
        now: Instant,
    ) -> Option<Wait> {
        let mut wait = Wait {
            at: now,
            full: None,
            binding: None,
        };
        let mut fits = true;
        self.lanes[lane].each(&mut self.limits, rules, |mut constraint| {
            match constraint.ask(tokens, ahead, now) {
                Verdict::Never => fits = false,
                Verdict::Full(until) => {
                    wait.full = wait.full.max(Some(until));
                    wait.binding = constraint.limit();
                }
                Verdict::At(at) if at > wait.at => {
                    wait.at = at;
                    if wait.full.is_none() {
                        wait.binding = constraint.limit();
                    }
                }
                Verdict::Now | Verdict::At(_) => {}
            }
        });
        fits.then_some(wait)
    }

    /// Charges everything that a lane is under, all of which has said yes under this same lock, for one
    /// that nothing else has kept since `ready`. Returns its passage, and for which of its rates it is a witness.
    pub(in crate::limiter) fn charge(
        &mut self,
        lane: LaneIndex,
        tokens: Weight,
        ready: Instant,
        rules: &Rules,
        now: Instant,
    ) -> (Passage, Each<bool>) {
        let of = &mut self.lanes[lane];
        of.counts.admitted += 1;
        of.in_flight += u32::from(of.slots[Grant::IN_FLIGHT].is_some());
        of.spent = of.spent.saturating_add(tokens.0);
        let kept = self.kept(lane, tokens, ready, rules, now);
        let ready = kept.until;
        let (mut passage, mut witness) = (Passage::default(), Each::default());
        self.lanes[lane].each(&mut self.limits, rules, |constraint| match constraint {
            Constraint::Gate(gate) => passage = gate.pass(kept.apart, now),
            Constraint::Pace(Unit::Tokens, _) if tokens == Weight(0) => {}
            Constraint::Pace(unit, rate) => {
                let held = kept.by_pace[unit];
                witness[unit] = rate.leave(unit.weight(tokens), held, ready, now);
            }
            Constraint::Left(unit, left) => left.leave(unit.weight(tokens)),
            Constraint::Limit(index, rule, limit) => {
                limit.bucket.charge(&rule.cap, tokens, ready, now);
                if let (Some(places), Ok(quota)) = (&mut self.places, rule.cap.quota()) {
                    places.leave(lane, index, quota, rule.cap.cost(tokens), now);
                }
            }
        });
        (passage, witness)
    }

    /// What has kept a request of so many tokens that nothing else has kept since `came`. Late is who leaves
    /// later than all of it let it go.
    fn kept(
        &mut self,
        lane: LaneIndex,
        tokens: Weight,
        came: Instant,
        rules: &Rules,
        now: Instant,
    ) -> Kept {
        let mut kept = Kept {
            until: came,
            apart: None,
            by_pace: Each::default(),
        };
        // All has said yes: one that comes now is kept by nothing.
        if came == now && self.lanes[lane].gate.is_none() {
            return kept;
        }
        let mut paces = Each::<(bool, Instant)>::default();
        self.lanes[lane].each(&mut self.limits, rules, |constraint| {
            let at = constraint.ready(tokens);
            kept.until = kept.until.max(at);
            kept.apart = kept.apart.max(constraint.interval());
            // The pace is what the lane has learned, and the table's while it has not.
            match (&constraint, constraint.counts()) {
                (Constraint::Pace(_, rate), Some(unit)) => paces[unit] = (rate.leads(), at),
                (Constraint::Limit(..), Some(unit)) if !paces[unit].0 => {
                    paces[unit].1 = paces[unit].1.max(at);
                }
                _ => {}
            }
        });
        for unit in Unit::BOTH {
            let (_, at) = paces[unit];
            kept.by_pace[unit] = at > came && at == kept.until;
        }
        kept
    }
}

/// What has kept a request.
struct Kept {
    until: Instant,
    /// How far apart the lane's limits keep its requests, if one does.
    apart: Option<Span>,
    /// Whether it was the pace that kept it longest.
    by_pace: Each<bool>,
}

impl Lane {
    /// Does something with everything that the lane is under. Left out of the table is what the lane knows
    /// better: a number of requests or tokens that this crate supplied.
    fn each(&mut self, limits: &mut [Limit], rules: &Rules, mut act: impl FnMut(Constraint<'_>)) {
        if let Some(gate) = &mut self.gate {
            act(Constraint::Gate(gate));
        }
        for unit in Unit::BOTH {
            let Learned { rate, left } = &mut self.learned[unit];
            if let Some(rate) = rate {
                act(Constraint::Pace(unit, rate));
            }
            if let Some(left) = left {
                act(Constraint::Left(unit, left));
            }
        }
        for &index in &self.limits {
            let limit = &mut limits[usize::from(index)];
            let rule = rules.rule(limit.rule);
            if !self.outgrew(rule) {
                act(Constraint::Limit(index, rule, limit));
            }
        }
    }
}
