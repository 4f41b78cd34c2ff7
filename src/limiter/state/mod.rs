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
    waiter::{Waiter, WaiterState},
};
use crate::{
    quota::Passage,
    words::{Call, Charge, Instant, Limits, Span, Weight},
};

pub(super) use self::{
    arrive::{Arrival, Comer},
    wait::Look,
};

#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) rules: Rules,
    pub(super) registry: Registry,
    pub(super) totals: Counts,
    pub(super) waiters: Slab<Waiter>,
    /// The endpoints of which tokens are counted, as bits.
    pub(super) metered: usize,
    /// When each key is to be looked at again.
    alarms: BTreeSet<(Instant, KeyIndex)>,
    /// When each waiter's time is up, of those who have a limit.
    deadlines: BTreeSet<(Instant, WaiterId)>,
    pub(super) jobs: Jobs,
    pub(super) seen: Seen,
    /// Places given out so far.
    places: u64,
    closed: bool,
    /// When a closed limiter's callers are to retry; `None` if they are not to.
    reopens_in: Option<Duration>,
    /// The latest instant at which anybody held the lock.
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
            alarms: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            jobs: Jobs::default(),
            seen: Seen::default(),
            places: 0,
            closed: false,
            reopens_in: None,
            now: Instant::START,
        }
    }

    /// What time it is for one who read the clock before taking the lock: never earlier than it
    /// was for anybody before him.
    pub(super) fn advance(&mut self, read: Instant) -> Instant {
        self.now = self.now.max(read);
        self.now
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether tokens are counted of a call.
    pub(super) fn counts_tokens(&self, call: &Call) -> bool {
        let key = self.registry.by_id(call.key);
        let known = key.and_then(|key| key.counts_tokens_of(call, &self.rules));
        known.unwrap_or_else(|| {
            let (rules, model) = (&self.rules, call.model.as_deref());
            rules.counts_tokens(call.endpoint, model)
        })
    }

    /// The next instant at which something is due.
    pub(super) fn next_due(&self) -> Instant {
        let alarm = self.alarms.first().map_or(Instant::NEVER, |(at, _)| *at);
        let deadline = self.deadlines.first().map_or(Instant::NEVER, |(at, _)| *at);
        alarm.min(deadline)
    }

    /// Does what is due by now.
    pub(super) fn run(&mut self, moment: &mut Moment) {
        while let Some(&(at, id)) = self.deadlines.first() {
            if at > moment.now {
                break;
            }
            self.deadlines.pop_first();
            let waiter = &self.waiters[id];
            if !matches!(waiter.standing, WaiterState::Rejected(_)) {
                self.refuse(id, waiter.reason(), moment);
            }
        }
        while let Some(&(at, index)) = self.alarms.first() {
            if at > moment.now {
                break;
            }
            self.pump(index, None, moment);
        }
    }

    /// Offers the turns of a key to those who may go now. `polled` is being polled, and needs no
    /// waking.
    fn pump(&mut self, index: KeyIndex, polled: Option<WaiterId>, moment: &mut Moment) {
        let Some(key) = self.registry.get_mut(index) else {
            return;
        };
        let waited = key.awaits_jobs();
        let next = key.pump(&mut World {
            rules: &self.rules,
            waiters: &mut self.waiters,
            wakes: &mut moment.wakes,
            refused: &mut self.totals.refused,
            polled,
            now: moment.now,
        });
        if next != key.alarm {
            self.alarms.remove(&(key.alarm, index));
            key.alarm = next;
            if next != Instant::NEVER {
                self.alarms.insert((next, index));
            }
        }
        if !waited && key.awaits_jobs() {
            self.wake_watchers(moment);
        }
    }

    /// Charges a lane whose limits have all said yes to so many tokens, for one that has waited since an instant, and
    /// for nothing but the limits since another.
    fn grant(
        &mut self,
        index: KeyIndex,
        lane: LaneIndex,
        (charge, tokens): (Charge, Weight),
        (since, ready): (Instant, Instant),
        now: Instant,
    ) -> Grant {
        self.totals.admitted += 1;
        let key = self.registry.get_mut(index).expect(LOOKED_UP);
        let (passage, witness) = key.charge(lane, tokens, ready, &self.rules, now);
        let Passage { pause, nth } = passage;
        let waited = now - since;
        let born = key.born;
        let metered = charge != Charge::NOTHING && key.counts_tokens(lane, &self.rules);
        let of = &mut key.lanes[lane];
        if waited > Span::ZERO {
            of.waited += waited.as_duration();
        }
        Grant {
            key: KeyRef { index, born },
            lane,
            pause,
            nth,
            slots: of.slots,
            tokens,
            table: self.rules.number,
            outgrew: of.learned.tokens.leads(),
            gone: of.gone(),
            answers: charge.answers(),
            metered,
            unnamed: false,
            jobs: !self.jobs.is_empty(),
            witness,
            at: now,
            waited,
        }
    }

    /// A key may be forgettable sooner than was known.
    fn freed(&mut self, index: KeyIndex) {
        let key = self.registry.get(index);
        if let Some(at) = key.and_then(|key| key.unused_at(&self.rules)) {
            self.registry.look_again(at);
        }
    }

    fn is_offered(&self, id: WaiterId) -> bool {
        let waiter = &self.waiters[id];
        let key = self.registry.get(waiter.key);
        key.is_some_and(|key| key.offers(id, waiter))
    }

    /// Ends a wait, whatever it came to. The place in the line is given up already.
    fn take(&mut self, id: WaiterId, moment: &mut Moment) -> WaiterState {
        let waiter = self.waiters.remove(id.into());
        self.deadlines.remove(&(waiter.deadline, id));
        let key = self.registry.get_mut(waiter.key).expect(IN_USE);
        key.waiting -= 1;
        key.lanes[waiter.lane].waiting -= 1;
        let quiet = key.waiting == 0;
        if quiet {
            self.freed(waiter.key);
        }
        moment.wakes.bury(waiter.waker);
        waiter.standing
    }
}

const LOOKED_UP: &str = "looked up under this same lock";
const IN_USE: &str = "a key in which somebody waits is not forgotten";
