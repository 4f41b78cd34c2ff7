//! Polls and drops of waiting requests.

use std::task::Waker;

use super::{IN_USE, State};
use crate::{
    limiter::{WaiterId, grant::Grant, moment::Moment, waiter::WaiterState},
    words::{Charge, Rejected},
};

/// The result of polling a waiter.
pub(in crate::limiter) enum Look {
    /// It is the waiter's turn, if the inner service is ready too.
    Go,
    Wait,
    Rejected(Rejected),
}

impl State {
    /// Whether a waiter is charged no tokens, in a lane that has begun to count them.
    pub(crate) fn is_uncounted(&self, id: WaiterId) -> bool {
        let waiter = &self.waiters[id];
        let key = self.registry.get(waiter.key);
        waiter.charge == Charge::NOTHING
            && key.is_some_and(|key| key.counts_tokens(waiter.lane, &self.rules))
    }

    /// Sets the charge of a waiter.
    pub(crate) fn set_charge(&mut self, id: WaiterId, charge: Charge, moment: &mut Moment) {
        let waiter = &mut self.waiters[id];
        waiter.charge = charge;
        let index = waiter.key;
        self.pump(index, Some(id), moment);
    }

    pub(crate) fn look(&mut self, id: WaiterId, waker: &Waker, moment: &mut Moment) -> Look {
        let waiter = &mut self.waiters[id];
        if !waiter.waker.will_wake(waker) {
            let old = std::mem::replace(&mut waiter.waker, waker.clone());
            moment.wakes.discard(old);
        }
        if waiter.deadline < moment.now && !waiter.is_rejected() {
            let reason = waiter.reason();
            self.reject(id, reason, moment);
        }
        let waiter = &mut self.waiters[id];
        match waiter.state {
            WaiterState::Queued => {}
            WaiterState::Lapsed => {
                let index = waiter.key;
                let key = self.registry.get_mut(index).expect(IN_USE);
                key.back(id, waiter);
                self.pump(index, Some(id), moment);
            }
            WaiterState::Rejected(_) => {
                if let WaiterState::Rejected(rejected) = self.take(id, moment) {
                    return Look::Rejected(*rejected);
                }
            }
        }
        if self.is_offered(id) {
            Look::Go
        } else {
            Look::Wait
        }
    }

    /// Claims the turn of a waiter whose inner service is ready. It is charged in all limits, or in none and
    /// waits on. A delay by the inner service (`busy`) does not count as lateness.
    pub(crate) fn claim(&mut self, id: WaiterId, busy: bool, moment: &mut Moment) -> Option<Grant> {
        let waiter = &mut self.waiters[id];
        let index = waiter.key;
        let key = self.registry.get_mut(index).expect(IN_USE);
        match waiter.state {
            WaiterState::Queued => key.renew(id, waiter, moment.now),
            WaiterState::Lapsed => key.back(id, waiter),
            // The waiter was woken, and learns of this at its next poll.
            WaiterState::Rejected(_) => return None,
        }
        // The limits may have changed since the turn was offered.
        self.pump(index, Some(id), moment);
        if !self.is_offered(id) {
            return None;
        }
        let waiter = &mut self.waiters[id];
        let key = self.registry.get_mut(index).expect(IN_USE);
        key.depart(waiter, moment.now);
        let (lane, charge, since) = (waiter.lane, waiter.charge, waiter.since);
        let retry = waiter.position.retry;
        let ready = if busy { moment.now } else { waiter.ready };
        let charge = (charge, key.tokens(lane, charge, &self.rules));
        let grant = self.grant(index, lane, charge, (since, ready), retry, moment.now);
        self.take(id, moment);
        self.pump(index, None, moment);
        Some(grant)
    }

    /// Removes a waiter that is dropped.
    pub(crate) fn cancel(&mut self, id: WaiterId, moment: &mut Moment) {
        let waiter = &self.waiters[id];
        let index = waiter.key;
        self.registry.get_mut(index).expect(IN_USE).give_up(waiter);
        self.take(id, moment);
        self.pump(index, None, moment);
    }
}
