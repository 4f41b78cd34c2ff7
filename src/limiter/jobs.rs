//! The jobs that hold slots, and those who look after them.

use std::{collections::BTreeMap, sync::Arc, task::Waker};

use slab::Slab;

use crate::words::{Endpoint, hash};

/// Every job that holds a slot, by the hash of its id and its key: two keys of one organisation may
/// see the same job.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    held: BTreeMap<(u64, u32), Held>,
    /// Who is to be woken when somebody waits for a job to end.
    pub(super) watchers: Slab<Option<Waker>>,
}

/// A slot, whose it is and what for.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) id: Arc<str>,
    /// What creates such jobs.
    pub(super) creation: Endpoint,
    pub(super) key: u32,
    pub(super) born: u64,
    pub(super) rule: u32,
}

impl Jobs {
    pub(super) fn insert(&mut self, held: Held) {
        self.held.insert((hash(&&*held.id), held.key), held);
    }

    /// Whether this job of a key holds a slot.
    pub(super) fn has(&self, key: u32, id: &str) -> bool {
        self.held.contains_key(&(hash(&id), key))
    }

    pub(super) fn remove(&mut self, key: u32, id: &str) -> Option<Held> {
        self.held.remove(&(hash(&id), key))
    }

    /// The keys under which a job of this id holds a slot.
    pub(super) fn keys_of(&self, id: &str) -> Vec<u32> {
        let hash = hash(&id);
        let same = self.held.range((hash, 0)..=(hash, u32::MAX));
        same.map(|((_, key), _)| *key).collect()
    }

    pub(super) fn of(&self, key: u32, born: u64) -> impl Iterator<Item = &Held> {
        let held = self.held.values();
        held.filter(move |held| held.key == key && held.born == born)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        self.held.values_mut()
    }

    /// Whether there is room for another, once those are gone whose keys are.
    pub(super) fn has_room(&mut self, lives: impl Fn(&Held) -> bool) -> bool {
        if self.held.len() >= MOST {
            self.held.retain(|_, held| lives(held));
        }
        self.held.len() < MOST
    }
}

/// Jobs that hold slots, over all keys: who sends the keys may send their answers too. The slots of
/// further jobs end with the answers that tell of them.
const MOST: usize = 100_000;
