//! A lane: the requests of one key to one endpoint with one model, first come, first served.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    LimitIndex, ModelId, RuleId, grant::Grant, learned::Learned, output::Output, queue::Queue,
    share::LaneShare,
};
use crate::{
    observe::{Change, LaneEvents},
    quota::{Gate, News, Restart, Spares},
    words::{Amount, Each, Endpoint, Instant, NamedLimit, NotNow, Rule, Span, Unit, Weight},
};

finds!(LaneIndex in SmallVec<[Lane; 1]>, Lane);

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) endpoint: Endpoint,
    pub(super) model_id: ModelId,
    pub(super) model: Option<Arc<str>>,
    /// The indices of its limits in its key's list.
    pub(super) limits: SmallVec<[LimitIndex; 4]>,
    /// The rules whose slots its requests take.
    pub(super) slots: [Option<RuleId>; 2],
    /// The number of its requests that hold an in-flight slot.
    pub(super) in_flight: u32,
    /// The pause that the server asked for. Made at the first rejection.
    pub(super) gate: Option<Box<Gate>>,
    pub(super) learned: Each<Learned>,
    /// The waiting requests. Made when a request waits.
    pub(super) queue: Option<Box<Queue>>,
    /// The length of its responses.
    pub(super) output: Output,
    /// The number of waiting requests, in the queue or skipped.
    pub(super) waiting: u32,
    /// Whether its first request waits for a job to end.
    pub(super) awaits_job: bool,
    pub(super) counts: Counts,
    /// The tokens charged to admitted requests.
    pub(super) charged: u64,
    /// The total time that admitted requests waited. It would overflow in nanoseconds, since each of many waiting
    /// requests adds a second every second.
    pub(super) waited_micros: u64,
    /// The part that processes share.
    pub(super) share: Option<Box<LaneShare>>,
}

/// The results of the requests so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) admitted: u64,
    pub(super) rejected: u64,
    pub(super) throttled: u64,
}

impl Lane {
    pub(super) fn queue(&mut self) -> &mut Queue {
        self.queue.get_or_insert_default()
    }

    pub(super) fn gate(&mut self) -> &mut Gate {
        let departed = u32::try_from(self.counts.admitted).unwrap_or(u32::MAX);
        self.gate
            .get_or_insert_with(|| Box::new(Gate::after(departed)))
    }

    /// The departures so far.
    pub(super) fn departed(&self) -> Each<Weight> {
        Each {
            requests: Weight(self.counts.admitted),
            tokens: Weight(self.charged),
        }
    }

    /// The end of a pause that the server asked for.
    pub(super) fn pause(&self, now: Instant) -> Option<Instant> {
        let gate = self.gate.as_ref()?;
        Some(gate.until()).filter(|at| *at > now)
    }

    /// Whether a rule does not apply because the lane has learned its own pace. This concerns
    /// numbers of requests or tokens that this crate supplied.
    pub(super) fn outgrew(&self, rule: &Rule) -> bool {
        let unit = rule.cap.unit();
        !rule.ceiling && unit.is_some_and(|unit| self.learned[unit].leads())
    }

    /// The server responded "not now" to a request. Returns the end of the lane's pause, if that pauses it.
    pub(super) fn not_now(
        &mut self,
        grant: &Grant,
        not_now: NotNow,
        now: Instant,
    ) -> Option<Instant> {
        let (wait, of) = match not_now {
            NotNow::Overloaded { wait } => {
                let until = self.gate().pause(wait.into(), now);
                if let Some(share) = &mut self.share {
                    share.rejected(None, grant.at, until);
                }
                return Some(until);
            }
            NotNow::Throttled { wait, of } => (wait.map(Into::into), of),
        };
        self.counts.throttled += 1;
        let spares = self.spares(grant, of, wait, now);
        let gate = self.gate();
        let rejection = gate.rejected(grant.passage(), wait, spares, now);
        if grant.retry && grant.nth == 1 && rejection.news == News::TooSoon {
            if let Some(queue) = &mut self.queue {
                queue.yields = YIELDS;
            }
        }
        if let Some(share) = &mut self.share {
            // One process learns for all, from what the ledger is told.
            let rejected = (rejection.news, of, grant.weight(of));
            share.rejected(Some(rejected), grant.at, rejection.until);
            return Some(rejection.until);
        }
        // A rejection for too many tokens tells nothing about the rate of requests.
        if let Some(rate) = &mut self.learned[of].rate {
            let wait = rejection.until - now;
            let known = rate.rejected(grant.at, grant.weight(of), wait, rejection.news, now);
            if rejection.news != News::Nothing && rejection.news.pauses() {
                // The number of tokens is known too late for a quick restart.
                let restart = match of {
                    Unit::Requests if known => Restart::Quick,
                    _ => Restart::Slow,
                };
                self.gate().restart(restart);
            }
        }
        Some(rejection.until).filter(|_| rejection.news.pauses())
    }

    /// The rejections of its requests that start no pause. A long wait concerns all of them. A rate far above the demand
    /// delays no request, and would be lowered too little to end the rejections.
    fn spares(&self, grant: &Grant, of: Unit, wait: Option<Span>, now: Instant) -> Spares {
        if self.share.is_some() || wait.is_some_and(|wait| wait > SHORT) {
            return Spares::Nothing;
        }
        match &self.learned[of].rate {
            Some(rate) if grant.retry || grant.paced => rate.spares(grant.retry, now),
            None if grant.retry => Spares::Retry,
            _ => Spares::Nothing,
        }
    }

    /// A request had no response, or the server could not serve it.
    pub(super) fn failed(&mut self) {
        for unit in Unit::BOTH {
            if let Some(rate) = &mut self.learned[unit].rate {
                rate.failed();
            }
        }
    }

    /// A witness had a response.
    pub(super) fn responded(&mut self, witness: Each<bool>) {
        for unit in Unit::BOTH.into_iter().filter(|unit| witness[*unit]) {
            if let Some(rate) = &mut self.learned[unit].rate {
                rate.responded();
            }
        }
    }

    /// The server named its limit or what remains, in the response to a request.
    pub(super) fn named(&mut self, grant: &Grant, of: Unit, named: NamedLimit, now: Instant) {
        let since = self.departed()[of] - grant.departed[of];
        let learned = &mut self.learned[of];
        match (named.limit, &mut self.share, &mut learned.rate) {
            (Some(limit), Some(share), _) => share.named(of, limit, grant.at, now),
            (Some(limit), None, Some(rate)) => rate.named(limit, grant.at, now),
            _ => {}
        }
        if let Some((remaining, time)) = named.remaining {
            let of = learned.remaining.get_or_insert_default();
            of.named(Amount(remaining), time.into(), grant.at, since);
        }
    }

    /// Notes an event of the lane.
    pub(super) fn note(&self, change: Change, events: &mut LaneEvents) {
        events.add(self.endpoint, self.model.as_ref(), change);
    }

    /// Notes that the queue waits for a job to end: once, however many requests wait in it for a job each.
    pub(super) fn note_job_wait(&mut self, is_watched: bool, events: &mut LaneEvents) {
        if self.awaits_job && self.queue().job_event.is_first() {
            self.note(Change::AwaitsJob { is_watched }, events);
        }
    }

    /// Notes the paces that a report has changed by much.
    pub(super) fn note_paces(&mut self, events: &mut LaneEvents) {
        if !events.are_heard() {
            return;
        }
        for unit in Unit::BOTH {
            let rate = self.learned[unit].rate.as_mut();
            if let Some(pace) = rate.and_then(|rate| rate.change()) {
                self.note(Change::Pace(unit, pace), events);
            }
        }
    }

    /// Frees the memory of an empty queue. Returns whether no request waits.
    pub(super) fn tidy(&mut self) -> bool {
        self.queue = self.queue.take().filter(|queue| !queue.is_empty());
        self.queue.is_none()
    }
}

/// The longest wait of a rejection that may concern its request alone.
const SHORT: Span = Span::secs(2);

/// After a retry was rejected as the first request after a pause, so many first attempts come before retries.
const YIELDS: u32 = 4;
