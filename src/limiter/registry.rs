//! The keys in use, bounded.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use slab::Slab;

use super::{KeyIndex, KeyRef, LaneIndex, key::Key, rules::Rules, settings::Settings};
use crate::words::{Call, Instant, KeyId};

/// Every key that the limiter knows. If it is full, it forgets keys that are no different from new ones. If
/// there is none, it rejects a new key.
#[derive(Debug, Default)]
pub(super) struct Registry {
    ids: HashMap<u64, KeyIndex, BuildHasherDefault<Hashed>>,
    keys: Slab<Key>,
    /// The number of keys made so far.
    born: u64,
    /// The number of lanes of all keys.
    lanes: usize,
    /// The index of the next look for a key to forget.
    hand: usize,
    /// Before this instant there is no key to forget.
    none_before: Instant,
    /// The keys that differed from new ones only in what they had learned when all were looked at, and the
    /// instant of that look at each. The longest idle is the last.
    idle: Vec<(Instant, KeyRef)>,
}

impl Registry {
    /// The key of a call, made if there is none.
    ///
    /// # Errors
    ///
    /// Returns the instant from which on another try makes sense, if `max` keys are in use.
    pub(super) fn find(
        &mut self,
        call: &Call,
        max: usize,
        rules: &Rules,
        now: Instant,
    ) -> Result<KeyIndex, Instant> {
        if let Some(index) = self.ids.get(&call.key.0) {
            return Ok(*index);
        }
        while self.keys.len() >= max {
            self.forget_one(rules, now)?;
        }
        self.born += 1;
        let index = KeyIndex::new(self.keys.insert(Key::new(call, self.born)));
        self.ids.insert(call.key.0, index);
        Ok(index)
    }

    pub(super) fn by_id(&self, id: KeyId) -> Option<&Key> {
        self.get(*self.ids.get(&id.0)?)
    }

    pub(super) fn get(&self, index: KeyIndex) -> Option<&Key> {
        self.keys.get(index.into())
    }

    pub(super) fn get_mut(&mut self, index: KeyIndex) -> Option<&mut Key> {
        self.keys.get_mut(index.into())
    }

    /// The lane of a call in its key, made if there is none, and whether it is new. If all keys together have
    /// too many lanes, a model gets none of its own.
    pub(super) fn lane(
        &mut self,
        index: KeyIndex,
        call: &Call,
        settings: &Settings,
        rules: &Rules,
    ) -> (LaneIndex, bool) {
        let many = self.lanes >= settings.max_keys.saturating_mul(LANES_A_KEY);
        let max = if many { 0 } else { settings.max_lanes };
        let key = &mut self.keys[usize::from(index)];
        let before = key.lanes.len();
        let lane = key.lane(call, rules, max);
        let made = key.lanes.len() - before;
        self.lanes += made;
        (lane, made > 0)
    }

    /// The key of a permit, unless it was forgotten since.
    pub(super) fn of(&mut self, key: KeyRef) -> Option<&mut Key> {
        self.get_mut(key.index).filter(|of| of.born == key.born)
    }

    /// The key, unless it was forgotten since.
    pub(super) fn living(&self, key: KeyRef) -> Option<&Key> {
        self.get(key.index).filter(|of| of.born == key.born)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (KeyIndex, &mut Key)> {
        let keys = self.keys.iter_mut();
        keys.map(|(index, key)| (KeyIndex::new(index), key))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().map(|(_, key)| key)
    }

    /// The number of keys made so far.
    pub(super) fn born(&self) -> u64 {
        self.born
    }

    /// The number of places for keys, of which some may be empty. A key keeps its place until it is forgotten.
    pub(super) fn places(&self) -> usize {
        self.keys.capacity()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// From this instant on there is a key to forget, whatever the last look at all keys found.
    pub(super) fn look_again(&mut self, at: Instant) {
        self.none_before = self.none_before.min(at);
    }

    /// Forgets a key that is no different from a new one. If there is none, forgets the longest idle one of
    /// those that only learned something.
    ///
    /// It looks at each key once at most. The key it finds is usually next to the one found last, since keys
    /// are made, used and become new again in about the same order.
    fn forget_one(&mut self, rules: &Rules, now: Instant) -> Result<(), Instant> {
        if now < self.none_before {
            return Err(self.none_before);
        }
        if self.forget_idle(rules, now) {
            return Ok(());
        }
        let mut soonest = Instant::NEVER;
        for _ in 0..self.keys.capacity() {
            let index = self.hand % self.keys.capacity();
            self.hand = index + 1;
            let Some(key) = self.keys.get(index) else {
                continue;
            };
            match (key.fresh_at(rules), key.unused_at(rules)) {
                (Some(at), _) if at <= now => {
                    self.idle.clear();
                    self.forget(index);
                    return Ok(());
                }
                (_, Some(at)) if at <= now => {
                    let (index, born) = (KeyIndex::new(index), key.born);
                    let idle = (key.learned_last(), KeyRef { index, born });
                    self.idle.push(idle);
                }
                (_, at) => soonest = soonest.min(at.unwrap_or(Instant::NEVER)),
            }
        }
        self.idle.sort_unstable_by(|one, other| other.cmp(one));
        if self.forget_idle(rules, now) {
            return Ok(());
        }
        self.none_before = soonest;
        Err(soonest)
    }

    /// Forgets a key that was found idle and has not been used since. Returns whether there was one.
    fn forget_idle(&mut self, rules: &Rules, now: Instant) -> bool {
        while let Some((last, idle)) = self.idle.pop() {
            let is_idle = |key: &Key| {
                key.learned_last() == last && key.unused_at(rules).is_some_and(|at| at <= now)
            };
            if self.living(idle).is_some_and(is_idle) {
                self.forget(idle.index.into());
                return true;
            }
        }
        false
    }

    fn forget(&mut self, index: usize) {
        let key = self.keys.remove(index);
        self.ids.remove(&key.id.0);
        self.lanes -= key.lanes.len();
    }
}

/// The number of lanes over all keys, for each key that there may be. Callers choose the keys, and could
/// choose the models too.
const LANES_A_KEY: usize = 4;

/// A hasher for ids that are hashes already, made with a key that no outsider knows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
