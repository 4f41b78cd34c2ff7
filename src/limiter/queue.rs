//! The order of the requests that wait in one lane.

use std::collections::{BTreeMap, VecDeque};

use smallvec::SmallVec;

use super::{LimitIndex, WaiterId};
use crate::{
    observe::Once,
    words::{CallerId, Instant, Span},
};

/// The queue of one lane. Callers are served in turn, and each one's requests in the order in which they
/// came. Requests that the server has rejected before come before all of these.
///
/// A waiter that is skipped is absent. Its position, its caller's turn, and its lane's turn are kept.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The retries: position to waiter.
    retries: BTreeMap<Order, WaiterId>,
    /// The turns: turn to caller.
    turns: BTreeMap<u64, CallerId>,
    // No hash table: that would take as long to go through as it was once long.
    callers: BTreeMap<CallerId, CallerQueue>,
    next_turn: u64,
    /// The number of absent waiters.
    absent: u32,
    /// The number of first attempts that come before retries.
    pub(super) yields: u32,
    /// The waiter whose turn it is, and the end of its turn.
    pub(super) offer: Option<Offer>,
    /// Whether its first waiter lacked only a slot.
    pub(super) lacked_slot: bool,
    /// The instant at which each limit last delayed its first waiter.
    delayed_by: SmallVec<[(LimitIndex, Instant); 2]>,
    /// The instant since which its first waiter is the first.
    since: Instant,
    /// The instant until which later lanes may delay its first waiter, once that is known.
    by: Option<Instant>,
    /// The event that it waits for a job to end.
    pub(super) job_event: Once,
}

/// A turn that waits for its owner to be polled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) waiter: WaiterId,
    pub(super) until: Instant,
}

/// The position of a waiter. Kept when the waiter is skipped, so that it comes back to the same position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) order: Order,
    pub(super) caller: CallerId,
    pub(super) retry: bool,
}

/// The number of a position among all those given out: a lower one comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order(pub(super) u64);

#[derive(Debug)]
struct CallerQueue {
    turn: u64,
    absent: u32,
    waiting: BTreeMap<Order, WaiterId>,
}

impl Queue {
    /// Notes that a limit delays its first waiter.
    pub(super) fn delay(&mut self, limit: LimitIndex, now: Instant) {
        match self.delayed_by.iter_mut().find(|(by, _)| *by == limit) {
            Some((_, at)) => *at = now,
            None => self.delayed_by.push((limit, now)),
        }
    }

    /// Whether another limit than `limit` has delayed its first waiter within `window`.
    pub(super) fn was_delayed_beside(&self, limit: LimitIndex, window: Span, now: Instant) -> bool {
        let mut others = self.delayed_by.iter().filter(|(by, _)| *by != limit);
        others.any(|&(_, at)| now - at < window)
    }

    /// Forgets which limits have delayed its first waiter, since the limits have changed.
    pub(super) fn move_on(&mut self) {
        self.delayed_by.clear();
    }

    /// Whether no waiter is in the queue or absent.
    pub(super) fn is_empty(&self) -> bool {
        self.retries.is_empty() && self.turns.is_empty() && self.absent == 0
    }

    pub(super) fn head(&self) -> Option<WaiterId> {
        let retry = self.retries.values().next();
        let retry = retry.filter(|_| self.yields == 0 || self.turns.is_empty());
        if let Some(waiter) = retry {
            return Some(*waiter);
        }
        let (_, caller) = self.turns.first_key_value()?;
        let (_, waiter) = self.callers[caller].waiting.first_key_value()?;
        Some(*waiter)
    }

    /// Adds a waiter.
    pub(super) fn join(&mut self, position: Position, waiter: WaiterId, now: Instant) {
        if self.is_empty() {
            self.since = now;
        }
        self.insert(position, waiter);
    }

    /// The latest instant at which its first waiter departs if it can depart at `at`: half as late again as
    /// in its `turn`.
    pub(super) fn departs_by(&mut self, at: Instant, turn: impl FnOnce() -> Instant) -> Instant {
        let by = self.by.get_or_insert_with(|| {
            let turn = turn().max(at);
            turn + (turn - self.since) / 2
        });
        at.max(*by)
    }

    fn insert(&mut self, position: Position, waiter: WaiterId) {
        if position.retry {
            self.retries.insert(position.order, waiter);
            return;
        }
        let caller = self.callers.entry(position.caller).or_insert_with(|| {
            self.next_turn += 1;
            CallerQueue {
                turn: self.next_turn,
                absent: 0,
                waiting: BTreeMap::new(),
            }
        });
        self.turns.insert(caller.turn, position.caller);
        caller.waiting.insert(position.order, waiter);
    }

    /// Takes a waiter out for good.
    pub(super) fn remove(&mut self, position: Position) {
        self.take(position, 0);
    }

    /// Skips a waiter until it is back.
    pub(super) fn skip(&mut self, position: Position) {
        self.absent += 1;
        self.take(position, 1);
    }

    /// Puts a waiter that was skipped back in its position.
    pub(super) fn back(&mut self, position: Position, waiter: WaiterId) {
        self.insert(position, waiter);
        self.forget(position);
    }

    /// Gives up the position of a waiter that was skipped.
    pub(super) fn forget(&mut self, position: Position) {
        self.absent -= 1;
        if !position.retry {
            if let Some(caller) = self.callers.get_mut(&position.caller) {
                caller.absent -= 1;
                self.tidy(position.caller);
            }
        }
    }

    /// Takes out the waiter that departs, and ends its caller's turn.
    pub(super) fn depart(&mut self, position: Position, now: Instant) {
        self.remove(position);
        (self.lacked_slot, self.since, self.by) = (false, now, None);
        if position.retry {
            return;
        }
        self.yields = self.yields.saturating_sub(1);
        if let Some(caller) = self.callers.get_mut(&position.caller) {
            self.next_turn += 1;
            if self.turns.remove(&caller.turn).is_some() {
                self.turns.insert(self.next_turn, position.caller);
            }
            caller.turn = self.next_turn;
        }
    }

    /// The number of waiters that depart for certain before one that joins now. If there are many callers,
    /// only some are counted.
    pub(super) fn ahead(&self, caller: CallerId, retry: bool) -> u64 {
        if retry {
            return self.retries.len() as u64;
        }
        let own = self.callers.get(&caller).map_or(0, |own| own.waiting.len());
        let others = self.callers.iter().filter(|(id, _)| **id != caller);
        let others = others.take(if own == 0 { 0 } else { LOOKED_AT });
        let others: usize = others.map(|(_, other)| other.waiting.len().min(own)).sum();
        let first = (own + others) as u64;
        let retries = if first < u64::from(self.yields) {
            0
        } else {
            self.retries.len()
        };
        first + retries as u64
    }

    /// Goes through all waiters in the order in which they depart if no other request comes. Calls `keep`
    /// with the number of kept waiters that depart before each one.
    pub(super) fn in_order(&self, mut keep: impl FnMut(WaiterId, u64) -> bool) {
        let mut ahead = 0;
        let callers = self
            .turns
            .values()
            .map(|id| self.callers[id].waiting.values());
        let mut callers: VecDeque<_> = callers.collect();
        let mut retries = self.retries.values();
        loop {
            if ahead >= u64::from(self.yields) || callers.is_empty() {
                for waiter in retries.by_ref() {
                    ahead += u64::from(keep(*waiter, ahead));
                }
            }
            let Some(mut caller) = callers.pop_front() else {
                return;
            };
            if caller.any(|waiter| keep(*waiter, ahead)) {
                ahead += 1;
                callers.push_back(caller);
            }
        }
    }

    /// Takes a waiter out of the queue. `absent` is 1 if it is to be absent, and 0 otherwise.
    fn take(&mut self, position: Position, absent: u32) {
        let taken = match self.callers.get_mut(&position.caller) {
            Some(caller) if !position.retry => {
                caller.absent += absent;
                let taken = caller.waiting.remove(&position.order);
                self.tidy(position.caller);
                taken
            }
            _ => self.retries.remove(&position.order),
        };
        self.offer = self.offer.filter(|offer| Some(offer.waiter) != taken);
    }

    /// Forgets a caller without requests. The turn of a caller whose requests are all absent waits.
    fn tidy(&mut self, id: CallerId) {
        let Some(caller) = self.callers.get(&id) else {
            return;
        };
        if caller.waiting.is_empty() {
            self.turns.remove(&caller.turn);
            if caller.absent == 0 {
                self.callers.remove(&id);
            }
        }
    }
}

/// Each request that comes asks, so the time must not grow with the number of callers.
const LOOKED_AT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(order: u64, caller: u64, retry: bool) -> Position {
        Position {
            order: Order(order),
            caller: CallerId(caller),
            retry,
        }
    }

    fn id(n: u64) -> WaiterId {
        WaiterId::new(n as usize)
    }

    /// Sends all waiters, and returns their order.
    fn drain(queue: &mut Queue, all: &[(WaiterId, Position)]) -> Vec<WaiterId> {
        std::iter::from_fn(|| {
            let head = queue.head()?;
            queue.depart(
                all.iter().find(|(waiter, _)| *waiter == head)?.1,
                Instant::START,
            );
            Some(head)
        })
        .collect()
    }

    #[test]
    fn callers_go_in_turn_and_retries_before_them() {
        let all: Vec<_> = (0..8)
            .map(|n| {
                let caller = if n < 4 { 1 } else { 2 };
                (id(n), at(n, caller, n == 7))
            })
            .collect();
        let mut queue = Queue::default();
        for (waiter, position) in &all {
            queue.insert(*position, *waiter);
        }
        assert_eq!(drain(&mut queue, &all), [7, 0, 4, 1, 5, 2, 6, 3].map(id));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_queue_that_yields_sends_some_first_attempts_before_its_retries() {
        let all = (0..6).map(|n| (id(n), at(n, n % 2, n == 4)));
        let all: Vec<_> = all.collect();
        let mut queue = Queue::default();
        for (waiter, position) in &all {
            queue.insert(*position, *waiter);
        }
        assert_eq!(queue.ahead(CallerId(2), false), 1);
        queue.yields = 2;
        assert_eq!(queue.ahead(CallerId(2), false), 0);
        let mut in_order = Vec::new();
        queue.in_order(|waiter, _| {
            in_order.push(waiter);
            true
        });
        let expected = [0, 1, 4, 2, 3, 5].map(id);
        assert_eq!(in_order, expected);
        assert_eq!(drain(&mut queue, &all), expected);
        // Retries do not wait for first attempts that do not come.
        queue.yields = 2;
        queue.insert(all[4].1, id(4));
        assert_eq!(queue.head(), Some(id(4)));
    }

    #[test]
    fn a_skipped_waiter_comes_back_to_its_position_and_to_its_caller_s_turn() {
        for callers in [1, 4] {
            let all = (0..4).map(|n| (id(n), at(n, n % callers, n == 3)));
            let all: Vec<_> = all.collect();
            let mut queue = Queue::default();
            for (waiter, position) in &all {
                queue.insert(*position, *waiter);
            }
            assert_eq!(queue.head(), Some(id(3)));
            queue.skip(all[3].1);
            assert_eq!(queue.head(), Some(id(0)));
            queue.skip(all[0].1);
            assert_eq!(queue.head(), Some(id(1)));
            queue.back(all[0].1, id(0));
            queue.back(all[3].1, id(3));
            assert_eq!(drain(&mut queue, &all), [3, 0, 1, 2].map(id));
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn nothing_remains_of_a_skipped_waiter_that_is_dropped() {
        for retry in [false, true] {
            let mut queue = Queue::default();
            queue.insert(at(0, 1, retry), id(0));
            queue.skip(at(0, 1, retry));
            assert_eq!(queue.head(), None);
            assert!(!queue.is_empty());
            queue.forget(at(0, 1, retry));
            assert!(queue.is_empty() && queue.callers.is_empty());
        }
    }

    #[test]
    fn a_caller_whose_request_is_skipped_waits_its_turn_once_another_of_its_requests_departed() {
        let mut queue = Queue::default();
        let [skipped, other, third] = [at(0, 1, false), at(1, 1, false), at(2, 2, false)];
        for (waiter, position) in [(0, skipped), (1, other), (2, third)] {
            queue.insert(position, id(waiter));
        }
        queue.skip(skipped);
        queue.depart(other, Instant::START);
        queue.back(skipped, id(0));
        assert_eq!(queue.head(), Some(id(2)));
    }

    #[test]
    fn each_in_order_gets_the_number_of_kept_ones_that_depart_first() {
        let mut queue = Queue::default();
        for (n, caller) in [(0, 1), (1, 1), (2, 2), (3, 1), (4, 2)] {
            queue.insert(at(n, caller, n == 3 || n == 4), id(n));
        }
        let mut found = Vec::new();
        queue.in_order(|waiter, ahead| {
            found.push((waiter, ahead));
            waiter != id(0)
        });
        let expected = [(3, 0), (4, 1), (0, 2), (1, 2), (2, 3)];
        assert_eq!(found, expected.map(|(waiter, ahead)| (id(waiter), ahead)));
    }

    #[test]
    fn callers_that_have_gone_leave_no_memory_behind() {
        let mut queue = Queue::default();
        queue.insert(at(0, 0, false), id(0));
        let used = allocation_counter::measure(|| {
            let gone = || (1..10_000).map(|n| (id(n), at(n, n, false)));
            gone().for_each(|(id, position)| queue.insert(position, id));
            gone().for_each(|(_, position)| queue.remove(position));
        });
        assert!(used.bytes_current < 4_096, "{} bytes", used.bytes_current);
    }

    #[test]
    fn ahead_counts_only_those_that_depart_first_for_certain() {
        let mut queue = Queue::default();
        for n in 0..100 {
            queue.insert(at(n, 1, false), id(n));
        }
        assert_eq!(queue.ahead(CallerId(1), false), 100);
        assert_eq!(queue.ahead(CallerId(2), false), 0);
        queue.insert(at(100, 2, false), id(100));
        queue.insert(at(101, 2, false), id(101));
        assert_eq!(queue.ahead(CallerId(2), false), 4);
        assert_eq!(queue.ahead(CallerId(1), true), 0);
    }
}
