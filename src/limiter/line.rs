//! Who is next among those who wait in one lane.

use std::collections::{BTreeMap, HashMap, VecDeque};

/// Callers in turn, each one's requests in the order they came; before them all, those that the
/// server refused once already.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Refused once: place to waiter.
    again: BTreeMap<u64, u32>,
    /// Turn to caller.
    turns: BTreeMap<u64, u64>,
    callers: HashMap<u64, Caller>,
    next_turn: u64,
    /// Who may go, and until when it keeps its turn.
    pub(super) offer: Option<Offer>,
}

/// A turn that waits for its owner to be polled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) waiter: u32,
    pub(super) until: u64,
}

/// Where a waiter stands. Kept when it steps out of the line, so that it comes back to the same
/// place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) order: u64,
    pub(super) caller: u64,
    pub(super) again: bool,
}

#[derive(Debug)]
struct Caller {
    turn: u64,
    waiting: BTreeMap<u64, u32>,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.again.is_empty() && self.turns.is_empty()
    }

    pub(super) fn head(&self) -> Option<u32> {
        if let Some((_, waiter)) = self.again.first_key_value() {
            return Some(*waiter);
        }
        let (_, caller) = self.turns.first_key_value()?;
        let (_, waiter) = self.callers[caller].waiting.first_key_value()?;
        Some(*waiter)
    }

    pub(super) fn insert(&mut self, place: Place, waiter: u32) {
        if place.again {
            self.again.insert(place.order, waiter);
            return;
        }
        let caller = self.callers.entry(place.caller).or_insert_with(|| {
            self.next_turn += 1;
            self.turns.insert(self.next_turn, place.caller);
            Caller {
                turn: self.next_turn,
                waiting: BTreeMap::new(),
            }
        });
        caller.waiting.insert(place.order, waiter);
    }

    /// Takes a waiter out, be it to go, to step aside or for good.
    pub(super) fn remove(&mut self, place: Place) {
        let removed = if place.again {
            self.again.remove(&place.order)
        } else {
            self.remove_from_caller(place)
        };
        if self
            .offer
            .is_some_and(|offer| Some(offer.waiter) == removed)
        {
            self.offer = None;
        }
    }

    /// Takes out the one that goes, and with it its caller's turn.
    pub(super) fn depart(&mut self, place: Place) {
        self.remove(place);
        if place.again {
            return;
        }
        if let Some(caller) = self.callers.get_mut(&place.caller) {
            self.turns.remove(&caller.turn);
            self.next_turn += 1;
            caller.turn = self.next_turn;
            self.turns.insert(caller.turn, place.caller);
        }
    }

    /// How many will leave for certain before one that joins now; of very many callers, some.
    pub(super) fn ahead(&self, caller: u64, again: bool) -> u64 {
        if again {
            return self.again.len() as u64;
        }
        let own = self.callers.get(&caller).map_or(0, |own| own.waiting.len());
        let others = self.callers.iter().filter(|(id, _)| **id != caller);
        let others = others.take(if own == 0 { 0 } else { LOOKED_AT });
        let others: usize = others.map(|(_, other)| other.waiting.len().min(own)).sum();
        (self.again.len() + own + others) as u64
    }

    /// Goes through everyone in line, in the order in which they leave if nobody else comes. Each
    /// is told how many of those kept leave before it, and is kept or not.
    pub(super) fn in_order(&self, mut keep: impl FnMut(u32, u64) -> bool) {
        let mut ahead = 0;
        for waiter in self.again.values() {
            ahead += u64::from(keep(*waiter, ahead));
        }
        let callers = self
            .turns
            .values()
            .map(|id| self.callers[id].waiting.values());
        let mut callers: VecDeque<_> = callers.collect();
        while let Some(mut caller) = callers.pop_front() {
            if caller.any(|waiter| keep(*waiter, ahead)) {
                ahead += 1;
                callers.push_back(caller);
            }
        }
    }

    fn remove_from_caller(&mut self, place: Place) -> Option<u32> {
        let caller = self.callers.get_mut(&place.caller)?;
        let removed = caller.waiting.remove(&place.order);
        if caller.waiting.is_empty() {
            self.turns.remove(&caller.turn);
            self.callers.remove(&place.caller);
        }
        removed
    }
}

/// Each request that comes asks, so this must not grow with their number.
const LOOKED_AT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn place(order: u64, caller: u64, again: bool) -> Place {
        Place {
            order,
            caller,
            again,
        }
    }

    /// Lets everyone go, and tells in which order.
    fn drain(line: &mut Line, places: &[(u32, Place)]) -> Vec<u32> {
        std::iter::from_fn(|| {
            let head = line.head()?;
            line.depart(places.iter().find(|(waiter, _)| *waiter == head)?.1);
            Some(head)
        })
        .collect()
    }

    #[test]
    fn callers_go_in_turn_and_the_refused_before_them() {
        let places: Vec<_> = (0..8)
            .map(|n| {
                let caller = if n < 4 { 1 } else { 2 };
                (n, place(n.into(), caller, n == 7))
            })
            .collect();
        let mut line = Line::default();
        for (waiter, place) in &places {
            line.insert(*place, *waiter);
        }
        assert_eq!(drain(&mut line, &places), [7, 0, 4, 1, 5, 2, 6, 3]);
        assert!(line.is_empty());
    }

    #[test]
    fn who_steps_out_comes_back_to_the_same_place() {
        let places: Vec<_> = (0..4).map(|n| (n, place(n.into(), 0, false))).collect();
        let mut line = Line::default();
        for (waiter, place) in &places {
            line.insert(*place, *waiter);
        }
        line.remove(places[0].1);
        assert_eq!(line.head(), Some(1));
        line.insert(places[0].1, 0);
        assert_eq!(drain(&mut line, &places), [0, 1, 2, 3]);
    }

    #[test]
    fn ahead_counts_only_those_who_leave_first_for_certain() {
        let mut line = Line::default();
        for n in 0..100 {
            line.insert(place(n, 1, false), n as u32);
        }
        assert_eq!(line.ahead(1, false), 100);
        assert_eq!(line.ahead(2, false), 0);
        line.insert(place(100, 2, false), 100);
        line.insert(place(101, 2, false), 101);
        assert_eq!(line.ahead(2, false), 4);
        assert_eq!(line.ahead(1, true), 0);
    }
}
