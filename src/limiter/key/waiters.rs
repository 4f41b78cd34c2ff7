//! Waiting requests in the lanes of a key.

use super::{Earliest, Key};
use crate::{
    limiter::{LaneIndex, WaiterId, rules::Rules, waiter::Waiter, waiter::WaiterState},
    words::{Instant, Weight},
};

impl Key {
    /// Whether a request that comes to this lane may be sent at once. That is so if no request is before it
    /// in the lane and, by the pass just made, it makes no other lane later.
    pub(in crate::limiter) fn lets_by(
        &mut self,
        lane: LaneIndex,
        tokens: Weight,
        wait: Earliest,
        rules: &Rules,
        now: Instant,
    ) -> bool {
        let alone = self.lanes[lane].queue.is_none();
        let weights = self.weights(lane, tokens, rules);
        alone
            && self.spares(lane, &weights, rules, now) <= now
            && self.blocked(&weights, tokens, wait, rules, now).is_none()
    }

    /// Puts a waiter in its queue.
    pub(in crate::limiter) fn join(&mut self, id: WaiterId, waiter: &Waiter) {
        let queue = self.lanes[waiter.lane].queue();
        queue.join(waiter.position, id, waiter.since);
        if !self.turns.contains(&waiter.lane) {
            self.turns.push(waiter.lane);
        }
    }

    /// Puts a waiter that was skipped back in its position.
    pub(in crate::limiter) fn back(&mut self, id: WaiterId, waiter: &mut Waiter) {
        waiter.state = WaiterState::Queued;
        let queue = self.lanes[waiter.lane].queue();
        queue.back(waiter.position, id);
    }

    /// Gives up a waiter's position for good.
    pub(in crate::limiter) fn give_up(&mut self, waiter: &Waiter) {
        let queue = self.lanes[waiter.lane].queue();
        match waiter.state {
            WaiterState::Queued => queue.remove(waiter.position),
            WaiterState::Lapsed => queue.forget(waiter.position),
            WaiterState::Rejected(_) => {}
        }
    }

    /// Takes a waiter out of its queue to send its request. The lane's next turn comes after all others.
    pub(in crate::limiter) fn depart(&mut self, waiter: &Waiter, now: Instant) {
        let queue = self.lanes[waiter.lane].queue();
        queue.depart(waiter.position, now);
        if let Some(turn) = self.turns.iter().position(|turn| *turn == waiter.lane) {
            self.turns[turn..].rotate_left(1);
        }
    }
}
