//! The keys in use, bounded.

mod forget;

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use slab::Slab;

use self::forget::Forgettable;
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
    forgettable: Forgettable,
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
        self.make_room(max, rules, now)?;
        self.born += 1;
        let index = self.add(Key::new(call, self.born), max);
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
