//! Everything under the limiter's one lock.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    task::Waker,
    time::Duration,
};

use slab::Slab;

use super::{
    clock::NEVER,
    key::{Key, World},
    lane::Counts,
    line::Place,
    permit::Grant,
    registry::Registry,
    rules::Rules,
    settings::Settings,
    waiter::{Standing, Waiter, Wakes},
};
use crate::{
    quota::Verdict,
    words::{Call, Cap, KeyId, Limits, Reason, Rejected},
};

#[derive(Debug)]
pub(super) struct State {
    pub(super) rules: Arc<Rules>,
    pub(super) registry: Registry,
    pub(super) totals: Counts,
    waiters: Slab<Waiter>,
    /// When each key is to be looked at again.
    alarms: BTreeSet<(u64, u32)>,
    deadlines: BTreeSet<(u64, u32)>,
    jobs: HashMap<u64, Held>,
    next_order: u64,
    closed: bool,
}

/// A slot and whose it is.
#[derive(Clone, Copy, Debug)]
struct Held {
    key: u32,
    id: KeyId,
    rule: u32,
}

/// What became of a request that just came.
pub(super) enum Arrival {
    Admitted(Grant),
    Queued(u32),
    Refused(Rejected),
}

/// What one who waits finds when polled.
pub(super) enum Look {
    /// Its turn, if the inner service is ready too.
    Go,
    Wait,
    Refused(Rejected),
}

impl State {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            rules: Arc::new(Rules::new(limits)),
            registry: Registry::new(),
            totals: Counts::default(),
            waiters: Slab::new(),
            alarms: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            jobs: HashMap::new(),
            next_order: 0,
            closed: false,
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// The next instant at which something is due.
    pub(super) fn next_due(&self) -> u64 {
        let alarm = self.alarms.first().map_or(NEVER, |(at, _)| *at);
        let deadline = self.deadlines.first().map_or(NEVER, |(at, _)| *at);
        alarm.min(deadline)
    }

    /// A request comes. `ready` says whether the inner service could take it now; `waker` is whom
    /// to wake, where it may wait.
    pub(super) fn arrive(
        &mut self,
        call: &Call,
        deadline: u64,
        ready: bool,
        waker: Option<&Waker>,
        settings: &Settings,
        now: u64,
        wakes: &mut Wakes,
    ) -> Arrival {
        let rules = Arc::clone(&self.rules);
        if self.closed {
            return self.turn_away(call, Reason::Closed, None);
        }
        let index = match self.registry.find(call, settings.max_keys, &rules, now) {
            Ok(index) => index,
            Err(at) => return self.turn_away(call, Reason::KeysFull, after(at, now)),
        };
        let key = self.registry.get_mut(index).expect("found just now");
        let lane = key.lane(call, &rules, settings.max_lanes);
        let (verdict, _) = key.ask(lane, call.tokens, (0, 0), &rules, now);
        if verdict == Verdict::Never {
            return self.refuse_arrival(index, lane, call, Reason::NeverFits, None);
        }
        if verdict == Verdict::Now && ready && key.is_quiet() && deadline >= now {
            return Arrival::Admitted(self.grant(index, lane, call.tokens, now, now));
        }
        let Some(waker) = waker else {
            let at = match verdict {
                Verdict::At(at) => at,
                _ => NEVER,
            };
            return self.refuse_arrival(index, lane, call, Reason::WouldWait, after(at, now));
        };
        self.queue(
            index, lane, call, deadline, ready, waker, settings, now, wakes,
        )
    }

    /// One who waits is polled.
    pub(super) fn look(&mut self, id: u32, waker: &Waker, now: u64, wakes: &mut Wakes) -> Look {
        let waiter = &mut self.waiters[id as usize];
        if !waiter.waker.will_wake(waker) {
            wakes.bury(std::mem::replace(&mut waiter.waker, waker.clone()));
        }
        match waiter.standing {
            Standing::Away => return Look::Go,
            Standing::Refused(_) => {
                let waiter = self.take(id, wakes);
                return match waiter {
                    Standing::Refused(rejected) => Look::Refused(*rejected),
                    _ => Look::Wait,
                };
            }
            Standing::Lapsed => {
                let index = waiter.key;
                let key = self.registry.get_mut(index).expect("somebody waits in it");
                key.join(id, waiter);
                self.pump(index, Some(id), now, wakes);
            }
            Standing::InLine => {}
        }
        if self.is_offered(id) {
            Look::Go
        } else {
            Look::Wait
        }
    }

    /// One who waits and whose inner service is ready asks to go: charged in all limits, or in
    /// none and still waiting.
    pub(super) fn claim(&mut self, id: u32, now: u64, wakes: &mut Wakes) -> Option<Grant> {
        let waiter = &mut self.waiters[id as usize];
        let index = waiter.key;
        let key = self.registry.get_mut(index).expect("somebody waits in it");
        match waiter.standing {
            Standing::InLine => key.renew(id, waiter, now),
            Standing::Away | Standing::Lapsed => key.join(id, waiter),
            // Told at its next poll, for which it was woken.
            Standing::Refused(_) => return None,
        }
        // The instant that was offered may have passed, or the limits changed since.
        self.pump(index, Some(id), now, wakes);
        if !self.is_offered(id) {
            return None;
        }
        let waiter = &self.waiters[id as usize];
        let (lane, tokens, since) = (waiter.lane, waiter.tokens, waiter.since);
        let key = self.registry.get_mut(index).expect("somebody waits in it");
        key.depart(waiter);
        let grant = self.grant(index, lane, tokens, since, now);
        // Out of its line already.
        self.waiters[id as usize].standing = Standing::Away;
        self.take(id, wakes);
        self.pump(index, None, now, wakes);
        Some(grant)
    }

    /// One whose turn it is cannot use it, since the inner service is not ready.
    pub(super) fn step_aside(&mut self, id: u32, now: u64, wakes: &mut Wakes) {
        let waiter = &mut self.waiters[id as usize];
        if matches!(waiter.standing, Standing::Refused(_)) {
            return;
        }
        let index = waiter.key;
        let key = self.registry.get_mut(index).expect("somebody waits in it");
        key.step_out(waiter, Standing::Away);
        self.pump(index, Some(id), now, wakes);
    }

    /// One who waits is dropped.
    pub(super) fn leave(&mut self, id: u32, now: u64, wakes: &mut Wakes) {
        let index = self.waiters[id as usize].key;
        self.take(id, wakes);
        self.pump(index, None, now, wakes);
    }

    /// Does what is due by now.
    pub(super) fn run(&mut self, settings: &Settings, now: u64, wakes: &mut Wakes) {
        while let Some(&(at, id)) = self.deadlines.first() {
            if at > now {
                break;
            }
            let reason = self.waiters[id as usize].reason();
            self.refuse(id, reason, settings, now, wakes);
        }
        while let Some(&(at, index)) = self.alarms.first() {
            if at > now {
                break;
            }
            self.pump(index, None, now, wakes);
        }
    }

    /// Gives back the slots of a permit.
    pub(super) fn release(&mut self, grant: &Grant, now: u64, wakes: &mut Wakes) {
        let rules = Arc::clone(&self.rules);
        if let Some(key) = self.key_of(grant.key, grant.key_id) {
            key.release(&rules, grant.slots);
            self.registry.look_again();
            self.pump(grant.key, None, now, wakes);
        }
    }

    /// Settles the tokens a request really cost.
    pub(super) fn settle(&mut self, grant: &Grant, extra: i64, now: u64, wakes: &mut Wakes) {
        let rules = Arc::clone(&self.rules);
        let Some(key) = self.key_of(grant.key, grant.key_id) else {
            return;
        };
        let Some(lane) = key.lanes.get(usize::from(grant.lane)) else {
            return;
        };
        for &index in &lane.limits {
            let limit = &mut key.limits[usize::from(index)];
            if matches!(rules.cap(limit.rule), Cap::Tokens(_)) {
                limit.bucket.settle(extra);
            }
        }
        self.pump(grant.key, None, now, wakes);
    }

    /// Keeps a permit's job slot until the job of this name ends.
    pub(super) fn start_job(&mut self, grant: &mut Grant, job: u64) {
        let rule = std::mem::take(&mut grant.slots[Grant::JOB]);
        if rule != 0 {
            let held = Held {
                key: grant.key,
                id: grant.key_id,
                rule,
            };
            self.jobs.insert(job, held);
        }
    }

    /// Whether a job of this name held a slot.
    pub(super) fn end_job(&mut self, job: u64, now: u64, wakes: &mut Wakes) -> bool {
        let Some(held) = self.jobs.remove(&job) else {
            return false;
        };
        let rules = Arc::clone(&self.rules);
        if let Some(key) = self.key_of(held.key, held.id) {
            key.release(&rules, [0, held.rule]);
            self.registry.look_again();
            self.pump(held.key, None, now, wakes);
        }
        true
    }

    /// The server answered 429.
    pub(super) fn throttled(&mut self, grant: &Grant) {
        self.totals.throttled += 1;
        if let Some(key) = self.key_of(grant.key, grant.key_id) {
            if let Some(lane) = key.lanes.get_mut(usize::from(grant.lane)) {
                lane.counts.throttled += 1;
            }
        }
    }

    /// Another table, from now on.
    pub(super) fn set_limits(
        &mut self,
        limits: Limits,
        settings: &Settings,
        now: u64,
        wakes: &mut Wakes,
    ) {
        let old = Arc::clone(&self.rules);
        self.rules = Arc::new(old.succeed(limits));
        let mut waiting = Vec::new();
        for (index, key) in self.registry.iter_mut() {
            key.rebase(&old, &self.rules, now);
            if key.waiting > 0 {
                waiting.push(index);
            }
        }
        self.registry.look_again();
        for index in waiting {
            self.refuse_hopeless(index, settings, now, wakes);
            self.pump(index, None, now, wakes);
        }
    }

    /// Refuses everyone, now and from now on.
    pub(super) fn close(&mut self, settings: &Settings, now: u64, wakes: &mut Wakes) {
        self.closed = true;
        let all: Vec<u32> = self.waiters.iter().map(|(id, _)| id as u32).collect();
        for id in all {
            if !matches!(self.waiters[id as usize].standing, Standing::Refused(_)) {
                self.refuse(id, Reason::Closed, settings, now, wakes);
            }
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one caller, which has just named them all"
    )]
    fn queue(
        &mut self,
        index: u32,
        lane: u16,
        call: &Call,
        deadline: u64,
        ready: bool,
        waker: &Waker,
        settings: &Settings,
        now: u64,
        wakes: &mut Wakes,
    ) -> Arrival {
        let patience = settings
            .max_wait
            .map_or(NEVER, |wait| now.saturating_add(wait));
        let limit = deadline.min(patience);
        let key = self.registry.get_mut(index).expect("found just now");
        let least = least_wait(key, lane, call, &self.rules, now);
        if limit != NEVER && least > limit {
            let reason = if deadline <= patience {
                Reason::Deadline
            } else {
                Reason::MaxWait
            };
            return self.refuse_arrival(index, lane, call, reason, after(least, now));
        }
        if self.waiters.len() >= settings.max_waiting && !call.again {
            return self.refuse_arrival(index, lane, call, Reason::QueueFull, after(least, now));
        }
        self.next_order += 1;
        let mut waiter = Waiter {
            waker: waker.clone(),
            key: index,
            lane,
            standing: Standing::Away,
            place: Place {
                order: self.next_order,
                caller: call.caller,
                again: call.again,
            },
            tokens: call.tokens,
            since: now,
            deadline: limit,
            impatient: patience < deadline,
        };
        let id = self.waiters.vacant_key() as u32;
        key.waiting += 1;
        if ready {
            key.join(id, &mut waiter);
        }
        self.waiters.insert(waiter);
        if limit != NEVER {
            self.deadlines.insert((limit, id));
        }
        self.pump(index, Some(id), now, wakes);
        if ready && self.is_offered(id) {
            if let Some(grant) = self.claim(id, now, wakes) {
                return Arrival::Admitted(grant);
            }
        }
        Arrival::Queued(id)
    }

    /// Charges a lane.
    fn grant(&mut self, index: u32, lane: u16, tokens: u64, since: u64, now: u64) -> Grant {
        self.totals.admitted += 1;
        let rules = &self.rules;
        let key = self.registry.get_mut(index).expect("found just now");
        key.charge(lane, tokens, rules, now);
        let mut slots = [0; 2];
        for &limit in &key.lanes[usize::from(lane)].limits {
            let rule = key.limits[usize::from(limit)].rule;
            match rules.cap(rule) {
                Cap::InFlight(_) => slots[Grant::IN_FLIGHT] = rules.id(rule),
                Cap::Jobs(_) => slots[Grant::JOB] = rules.id(rule),
                Cap::Requests(_) | Cap::Tokens(_) => {}
            }
        }
        Grant {
            key: index,
            key_id: key.id,
            lane,
            slots,
            tokens,
            waited: now - since,
        }
    }

    fn pump(&mut self, index: u32, polled: Option<u32>, now: u64, wakes: &mut Wakes) {
        let Some(key) = self.registry.get_mut(index) else {
            return;
        };
        let next = key.pump(&mut World {
            rules: &self.rules,
            waiters: &mut self.waiters,
            wakes,
            refused: &mut self.totals.refused,
            polled,
            now,
        });
        if next != key.alarm {
            self.alarms.remove(&(key.alarm, index));
            key.alarm = next;
            if next != NEVER {
                self.alarms.insert((next, index));
            }
        }
    }

    fn is_offered(&self, id: u32) -> bool {
        let waiter = &self.waiters[id as usize];
        let key = self.registry.get(waiter.key);
        key.is_some_and(|key| key.offers(id, waiter))
    }

    /// Ends a wait, whatever it came to.
    fn take(&mut self, id: u32, wakes: &mut Wakes) -> Standing {
        let mut waiter = self.waiters.remove(id as usize);
        self.deadlines.remove(&(waiter.deadline, id));
        let key = self
            .registry
            .get_mut(waiter.key)
            .expect("somebody waited in it");
        key.waiting -= 1;
        let standing = match waiter.standing {
            Standing::Refused(_) => std::mem::replace(&mut waiter.standing, Standing::Away),
            _ => {
                key.step_out(&mut waiter, Standing::Away);
                Standing::Away
            }
        };
        if key.waiting == 0 {
            self.registry.look_again();
        }
        wakes.bury(waiter.waker);
        standing
    }

    /// Refuses one who waits, and lets the next move up.
    fn refuse(
        &mut self,
        id: u32,
        reason: Reason,
        settings: &Settings,
        now: u64,
        wakes: &mut Wakes,
    ) {
        let waiter = &self.waiters[id as usize];
        let (index, lane, deadline) = (waiter.key, waiter.lane, waiter.deadline);
        self.deadlines.remove(&(deadline, id));
        let rules = Arc::clone(&self.rules);
        let key = self.registry.get_mut(index).expect("somebody waits in it");
        let retry_after = match key.ask(lane, 0, (0, 0), &rules, now).0 {
            _ if reason == Reason::Closed => None,
            Verdict::At(at) => after(at, now),
            _ => Some(settings.shortest_retry),
        };
        let mut world = World {
            rules: &rules,
            waiters: &mut self.waiters,
            wakes,
            refused: &mut self.totals.refused,
            polled: None,
            now,
        };
        key.refuse(id, reason, retry_after, &mut world);
        self.pump(index, None, now, wakes);
    }

    /// Refuses those of a key who can no longer go in time.
    fn refuse_hopeless(&mut self, index: u32, settings: &Settings, now: u64, wakes: &mut Wakes) {
        let rules = Arc::clone(&self.rules);
        let Some(key) = self.registry.get_mut(index) else {
            return;
        };
        let mut hopeless = Vec::new();
        for lane in 0..key.lanes.len() {
            let Some(line) = &key.lanes[lane].line else {
                continue;
            };
            for (id, ahead) in line.everyone() {
                let waiter = &self.waiters[id as usize];
                let verdict = key.ask(lane as u16, waiter.tokens, (ahead, 0), &rules, now);
                if matches!(verdict.0, Verdict::At(at) if at > waiter.deadline) {
                    hopeless.push((id, waiter.reason()));
                }
            }
        }
        for (id, reason) in hopeless {
            self.refuse(id, reason, settings, now, wakes);
        }
    }

    fn refuse_arrival(
        &mut self,
        index: u32,
        lane: u16,
        call: &Call,
        reason: Reason,
        retry_after: Option<Duration>,
    ) -> Arrival {
        if let Some(key) = self.registry.get_mut(index) {
            key.lanes[usize::from(lane)].counts.refused += 1;
        }
        self.turn_away(call, reason, retry_after)
    }

    fn turn_away(&mut self, call: &Call, reason: Reason, retry_after: Option<Duration>) -> Arrival {
        self.totals.refused += 1;
        Arrival::Refused(Rejected::new(reason, call.endpoint, retry_after))
    }

    fn key_of(&mut self, index: u32, id: KeyId) -> Option<&mut Key> {
        self.registry.get_mut(index).filter(|key| key.id == id)
    }
}

impl Waiter {
    fn reason(&self) -> Reason {
        if self.impatient {
            Reason::MaxWait
        } else {
            Reason::Deadline
        }
    }
}

/// The earliest instant at which a request that comes now could leave, given what is charged and
/// who waits before it.
fn least_wait(key: &mut Key, lane: u16, call: &Call, rules: &Rules, now: u64) -> u64 {
    let line = key.lanes[usize::from(lane)].line.as_ref();
    let ahead = line.map_or(0, |line| line.ahead(call.caller, call.again, None));
    match key.ask(lane, call.tokens, (ahead, 0), rules, now).0 {
        Verdict::At(at) => at,
        _ => now,
    }
}

/// From now to an instant; `None` if nobody knows when that is.
fn after(at: u64, now: u64) -> Option<Duration> {
    (at != NEVER).then(|| Duration::from_nanos(at.saturating_sub(now)))
}
