//! Everything under the limiter's one lock.

mod arrive;
mod change;
mod report;
mod wait;

use std::{collections::BTreeSet, time::Duration};

use slab::Slab;

use super::{
    KeyIndex, KeyRef, LaneIndex, WaiterId,
    grant::Grant,
    jobs::Jobs,
    key::World,
    lane::Counts,
    mistakes::Seen,
    moment::Moment,
    registry::Registry,
    rules::Rules,
    settings::Settings,
    share::Sharing,
    waiter::{Waiter, WaiterState},
};
use crate::{
    quota::Passage,
    words::{Call, Charge, Instant, Limits, Weight},
};

pub(super) use self::{
    arrive::{Arrival, Arriving},
    wait::Look,
};

#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) rules: Rules,
    pub(super) registry: Registry,
    pub(super) totals: Counts,
    pub(super) waiters: Slab<Waiter>,
    /// The endpoints whose tokens are counted, as bits.
    pub(super) metered: usize,
    /// The instant at which each key is due for another look.
    due: BTreeSet<(Instant, KeyIndex)>,
    /// The sharing of limits with other processes.
    pub(super) sharing: Option<Box<Sharing>>,
    /// The deadline of each waiter that has one.
    deadlines: BTreeSet<(Instant, WaiterId)>,
    pub(super) jobs: Jobs,
    pub(super) seen: Seen,
    /// The number of positions given out so far.
    positions: u64,
    closed: bool,
    /// The wait before callers of a closed limiter retry; `None` if they are not to retry.
    reopens_in: Option<Duration>,
    /// The latest instant at which a thread held the lock.
    now: Instant,
}

impl State {
    pub(super) fn new(limits: Limits) -> Self {
        let rules = Rules::new(limits);
        Self {
            settings: Settings::default(),
            metered: rules.metered(),
            rules,
            registry: Registry::default(),
            totals: Counts::default(),
            waiters: Slab::new(),
            due: BTreeSet::new(),
            sharing: None,
            deadlines: BTreeSet::new(),
            jobs: Jobs::default(),
            seen: Seen::default(),
            positions: 0,
            closed: false,
            reopens_in: None,
            now: Instant::START,
        }
    }

    /// The instant for a thread that read the clock before it took the lock. It is never earlier than for any
    /// thread before.
    pub(super) fn advance(&mut self, read: Instant) -> Instant {
        self.now = self.now.max(read);
        self.now
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the tokens of a call are counted.
    pub(super) fn counts_tokens(&self, call: &Call) -> bool {
        let key = self.registry.by_id(call.key);
        let known = key.and_then(|key| key.counts_tokens_of(call, &self.rules));
        known.unwrap_or_else(|| {
            let (rules, model) = (&self.rules, call.model.as_deref());
            rules.counts_tokens(call.endpoint, model)
        })
    }

    /// The next instant at which work is due.
    pub(super) fn next_due(&self) -> Instant {
        let key = self.due.first().map_or(Instant::NEVER, |(at, _)| *at);
        let deadline = self.deadlines.first().map_or(Instant::NEVER, |(at, _)| *at);
        key.min(deadline)
    }

    /// Does the work that is due by now.
    pub(super) fn run(&mut self, moment: &mut Moment) {
        while let Some(&(at, id)) = self.deadlines.first() {
            if at > moment.now {
                break;
            }
            self.deadlines.pop_first();
            let waiter = &self.waiters[id];
            if !waiter.is_rejected() {
                self.reject(id, waiter.reason(), moment);
            }
        }
        while let Some(&(at, index)) = self.due.first() {
            if at > moment.now {
                break;
            }
            self.pump(index, None, moment);
        }
    }

    /// Offers the turns of a key to requests that may be sent now. `polled` is being polled, and needs no
    /// wake.
    pub(super) fn pump(&mut self, index: KeyIndex, polled: Option<WaiterId>, moment: &mut Moment) {
        self.go_alone(index, moment);
        let Some(key) = self.registry.get_mut(index) else {
            return;
        };
        let waited = key.awaits_jobs();
        let next = key.pump(&mut World {
            rules: &self.rules,
            waiters: &mut self.waiters,
            wakes: &mut moment.wakes,
            rejected: &mut self.totals.rejected,
            polled,
            now: moment.now,
        });
        let next = next.min(self.send_errand(index, moment.now));
        let key = self.registry.get_mut(index).expect(LOOKED_UP);
        if next != key.due {
            self.due.remove(&(key.due, index));
            key.due = next;
            if next != Instant::NEVER {
                self.due.insert((next, index));
            }
        }
        if !waited && key.awaits_jobs() {
            let is_watched = !self.jobs.watchers.is_empty();
            for lane in &mut key.lanes {
                lane.note_job_wait(is_watched, &mut moment.lanes);
            }
            self.wake_watchers(moment);
        }
    }

    /// Charges a lane whose limits have all allowed `tokens`, for a request that has waited since `since`.
    /// Nothing but the limits has delayed it since `ready`.
    fn grant(
        &mut self,
        index: KeyIndex,
        lane: LaneIndex,
        (charge, tokens): (Charge, Weight),
        (since, ready): (Instant, Instant),
        retry: bool,
        now: Instant,
    ) -> Grant {
        self.totals.admitted += 1;
        let key = self.registry.get_mut(index).expect(LOOKED_UP);
        let charged = key.charge(lane, tokens, retry, ready, &self.rules, now);
        let Passage { pause, nth, firsts } = charged.passage;
        let waited = now - since;
        let born = key.born;
        let metered = charge != Charge::NOTHING && key.counts_tokens(lane, &self.rules);
        let of = &mut key.lanes[lane];
        let micros = waited.as_nanos() / 1_000;
        of.waited_micros = of.waited_micros.saturating_add(micros);
        Grant {
            key: KeyRef { index, born },
            lane,
            pause,
            nth,
            firsts,
            slots: of.slots,
            tokens,
            table: self.rules.number,
            outgrew: of.learned.tokens.leads(),
            departed: of.departed(),
            choices: charge.choices(),
            metered,
            retry,
            paced: charged.paced,
            unnamed: false,
            jobs: !self.jobs.is_empty(),
            witness: charged.witness,
            at: now,
            waited,
        }
    }

    fn is_offered(&self, id: WaiterId) -> bool {
        let waiter = &self.waiters[id];
        let key = self.registry.get(waiter.key);
        key.is_some_and(|key| key.offers(id, waiter))
    }

    /// Ends a wait, with whatever result. The position in the queue is given up already.
    fn take(&mut self, id: WaiterId, moment: &mut Moment) -> WaiterState {
        let waiter = self.waiters.remove(id.into());
        self.deadlines.remove(&(waiter.deadline, id));
        let key = self.registry.get_mut(waiter.key).expect(IN_USE);
        key.waiting -= 1;
        key.lanes[waiter.lane].waiting -= 1;
        let quiet = key.waiting == 0;
        if quiet {
            self.registry.note_unused(waiter.key, &self.rules);
        }
        moment.wakes.discard(waiter.waker);
        waiter.state
    }
}

pub(super) const LOOKED_UP: &str = "looked up under this same lock";
const IN_USE: &str = "a key in which somebody waits is not forgotten";
