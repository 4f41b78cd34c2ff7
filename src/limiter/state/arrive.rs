//! Arrivals of requests.

use std::{task::Waker, time::Duration};

use super::{LOOKED_UP, State};
use crate::{
    limiter::{
        KeyIndex, LaneIndex, WaiterId,
        grant::Grant,
        key::{Earliest, Key},
        moment::Moment,
        queue::{Order, Position},
        rules::Rules,
        settings::Settings,
        waiter::{Waiter, WaiterState},
    },
    words::{Amount, Call, Instant, Reason, Rejected, Unit},
};

/// A request that arrives.
pub(in crate::limiter) struct Arriving<'a> {
    pub(crate) call: &'a Call,
    pub(crate) deadline: Instant,
    /// Whether the inner service could take it now.
    pub(crate) ready: bool,
    /// The waker, if the request may wait.
    pub(crate) waker: Option<&'a Waker>,
}

/// The result of an arrival.
pub(in crate::limiter) enum Arrival {
    Admitted(Grant),
    /// `keep` tells whether only the inner service delays its turn, so that its pending clone is to be kept.
    Queued {
        id: WaiterId,
        keep: bool,
    },
    Rejected(Rejected),
}

impl State {
    pub(crate) fn arrive(&mut self, arriving: &Arriving<'_>, moment: &mut Moment) -> Arrival {
        let (call, now) = (arriving.call, moment.now);
        if self.closed {
            return self.reject_early(call, Reason::Closed, self.reopens_in);
        }
        let found = self
            .registry
            .find(call, self.settings.max_keys, &self.rules, now);
        let index = match found {
            Ok(index) => index,
            Err(at) => {
                let wait = after(at, now).unwrap_or(self.settings.shortest_retry);
                return self.reject_early(call, Reason::KeysFull, Some(wait));
            }
        };
        self.share_key(index, call);
        let (lane, is_new) = self.registry.lane(index, call, &self.settings, &self.rules);
        if is_new {
            self.warn_of_slots(index, lane);
        }
        let key = self.registry.get_mut(index).expect(LOOKED_UP);
        if is_new {
            let mistakes = &mut moment.mistakes;
            self.seen.lane(&key.lanes[lane], call.key, mistakes);
        }
        if key.lanes[lane].limits.is_empty() {
            let mistakes = &mut moment.mistakes;
            self.seen.unlimited(call, &self.rules, mistakes);
        }
        let tokens = key.tokens(lane, call.charge, &self.rules);
        let Some(limits) = key.ask(lane, tokens, Amount(0), &self.rules, now) else {
            return self.reject_arrival(index, lane, call, Reason::NeverFits, None);
        };
        if limits.is_now(now) && arriving.ready && arriving.deadline >= now {
            let quiet = key.is_quiet();
            if !quiet {
                self.pump(index, None, moment);
            }
            let key = self.registry.get_mut(index).expect(LOOKED_UP);
            if quiet || key.lets_by(lane, tokens, limits, &self.rules, now) {
                return Arrival::Admitted(self.grant(
                    index,
                    lane,
                    (call.charge, tokens),
                    (now, now),
                    call.retry,
                    now,
                ));
            }
        }
        match arriving.waker {
            Some(waker) => self.queue(index, lane, arriving, waker, moment),
            None => {
                let key = self.registry.get_mut(index).expect(LOOKED_UP);
                if let Some(share) = &mut key.lanes[lane].share {
                    share.turn_away();
                    self.pump(index, None, moment);
                }
                let known = limits.full.is_none() && limits.at > now;
                let wait = known.then(|| after(limits.at, now)).flatten();
                self.reject_arrival(index, lane, call, Reason::WouldWait, wait)
            }
        }
    }

    fn queue(
        &mut self,
        index: KeyIndex,
        lane: LaneIndex,
        arriving: &Arriving<'_>,
        waker: &Waker,
        moment: &mut Moment,
    ) -> Arrival {
        let (call, settings, now) = (arriving.call, &self.settings, moment.now);
        let patience = settings.max_wait.map_or(Instant::NEVER, |wait| now + wait);
        let deadline = arriving.deadline.min(patience);
        let impatient = patience < arriving.deadline;
        let key = self.registry.get_mut(index).expect(LOOKED_UP);
        let least = least_wait(key, lane, call, &self.rules, now);
        let at = least.map_or(now, |wait| wait.at.max(now));
        let rejection = if deadline != Instant::NEVER && at > deadline {
            Some(Waiter::reason_of(impatient))
        } else if self.waiters.len() >= settings.max_waiting && !call.retry {
            Some(Reason::QueueFull)
        } else {
            None
        };
        if let Some(reason) = rejection {
            let wait = least.and_then(|wait| retry_after(reason, wait, now, settings));
            return self.reject_arrival(index, lane, call, reason, wait);
        }
        let waiter = Waiter {
            waker: waker.clone(),
            key: index,
            lane,
            state: WaiterState::Queued,
            position: Position {
                order: Order(self.positions),
                caller: call.caller,
                retry: call.retry,
            },
            charge: call.charge,
            since: now,
            ready: now,
            deadline,
            impatient,
        };
        if settings.learning {
            let key = self.registry.get_mut(index).expect(LOOKED_UP);
            key.rate(lane, Unit::Requests, &self.rules, now);
            if key.counts_tokens(lane, &self.rules) {
                key.rate(lane, Unit::Tokens, &self.rules, now);
            }
        }
        let id = self.enqueue(waiter);
        self.pump(index, Some(id), moment);
        let keep = self.is_offered(id) && !arriving.ready;
        if self.is_offered(id) && arriving.ready {
            if let Some(grant) = self.claim(id, false, moment) {
                return Arrival::Admitted(grant);
            }
        }
        Arrival::Queued { id, keep }
    }

    fn enqueue(&mut self, waiter: Waiter) -> WaiterId {
        self.positions += 1;
        let id = WaiterId::new(self.waiters.vacant_key());
        let key = self.registry.get_mut(waiter.key).expect(LOOKED_UP);
        key.waiting += 1;
        key.lanes[waiter.lane].waiting += 1;
        key.join(id, &waiter);
        if waiter.deadline != Instant::NEVER {
            self.deadlines.insert((waiter.deadline, id));
        }
        self.waiters.insert(waiter);
        id
    }

    fn reject_arrival(
        &mut self,
        index: KeyIndex,
        lane: LaneIndex,
        call: &Call,
        reason: Reason,
        retry_after: Option<Duration>,
    ) -> Arrival {
        let key = self.registry.get_mut(index).expect(LOOKED_UP);
        key.lanes[lane].counts.rejected += 1;
        self.totals.rejected += 1;
        let mut rejected = Rejected::new(reason, call.endpoint, retry_after);
        if reason == Reason::NeverFits {
            rejected = key.never_fits(rejected, lane, call.charge, &self.rules);
        }
        Arrival::Rejected(rejected)
    }

    fn reject_early(
        &mut self,
        call: &Call,
        reason: Reason,
        retry_after: Option<Duration>,
    ) -> Arrival {
        self.totals.rejected += 1;
        Arrival::Rejected(Rejected::new(reason, call.endpoint, retry_after))
    }
}

/// The earliest instant at which a request that comes now could be sent, given the charges and the waiters
/// before it.
fn least_wait(
    key: &mut Key,
    lane: LaneIndex,
    call: &Call,
    rules: &Rules,
    now: Instant,
) -> Option<Earliest> {
    let queue = key.lanes[lane].queue.as_ref();
    let ahead = queue.map_or(0, |queue| queue.ahead(call.caller, call.retry));
    let tokens = key.tokens(lane, call.charge, rules);
    key.ask(lane, tokens, Amount(ahead), rules, now)
}

/// The wait before a retry, as a rejection states it; `None` if it is not known. The instant at which a
/// slot, or a place in a full queue, comes free is not known. A client without one retries at once.
pub(super) fn retry_after(
    reason: Reason,
    wait: Earliest,
    now: Instant,
    settings: &Settings,
) -> Option<Duration> {
    let least = after(wait.at, now)?;
    let is_known = wait.full.is_none() && !least.is_zero() && reason != Reason::QueueFull;
    Some(match is_known {
        true => least,
        false => least.max(settings.shortest_retry),
    })
}

/// The time from now to an instant; `None` if that instant is not known.
fn after(at: Instant, now: Instant) -> Option<Duration> {
    (at != Instant::NEVER).then(|| (at - now).as_duration())
}
