//! Keys are forgotten to make room for others, in bounded steps.
//!
//! Each key is listed with the instant from which on it may be forgotten. A departure makes that instant later, and
//! is not noted: the key is listed anew when a search finds it. Whatever makes the instant earlier is noted.

use std::{collections::BTreeSet, mem};

use super::Registry;
use crate::{
    limiter::{
        KeyIndex,
        key::{Key, Listed},
        rules::Rules,
    },
    words::Instant,
};

/// The keys that no request uses, in the order in which they may be forgotten.
#[derive(Debug, Default)]
pub(super) struct Forgettable {
    /// The keys by [`Listed::fresh`].
    fresh: BTreeSet<(Instant, KeyIndex)>,
    /// The keys by [`Listed::idle`].
    idle: BTreeSet<(Instant, KeyIndex)>,
    /// The key that was made last. It is not listed yet, since its first request has not been charged.
    newest: Option<KeyIndex>,
}

impl Registry {
    /// Forgets keys until there are fewer than `max`: those that are no different from new ones, and then the
    /// longest idle of those that only learned something.
    ///
    /// It looks at [`LOOKS`] keys at most. If it has found too few by then, and there may be others, the table holds
    /// a few more than `max` until a later search.
    ///
    /// # Errors
    ///
    /// Returns the instant from which on another try makes sense; `NEVER` if it is not known.
    pub(super) fn make_room(
        &mut self,
        max: usize,
        rules: &Rules,
        now: Instant,
    ) -> Result<(), Instant> {
        if let Some(newest) = self.forgettable.newest.take() {
            self.list(newest, rules);
        }
        for _ in 0..LOOKS {
            if self.keys.len() < max {
                return Ok(());
            }
            let (at, index) = self.forgettable.first(now).ok_or(Instant::NEVER)?;
            let before = self.keys[usize::from(index)].listed;
            let listed = self.list(index, rules);
            if listed.fresh <= now || at <= now && listed == before {
                self.forget(index);
            } else if listed == before {
                return Err(at);
            }
        }
        match self.forgettable.first(now) {
            Some((at, _)) if at > now => Err(at),
            _ if self.keys.len() < most(max) => Ok(()),
            _ => Err(Instant::NEVER),
        }
    }

    /// Adds a key. The memory for keys doubles when it is used up, but to no more than all that there may be.
    pub(super) fn add(&mut self, key: Key, max: usize) -> KeyIndex {
        let known = self.keys.len();
        if known == self.keys.capacity() {
            self.keys.reserve_exact(known.max(4).min(most(max) - known));
            // A hash table that keys come to and go from is rebuilt, which takes long, unless it has room to spare.
            self.ids.reserve(2 * self.keys.capacity() - known);
        }
        let index = KeyIndex::new(self.keys.insert(key));
        self.forgettable.newest = Some(index);
        index
    }

    /// Something of a key was given back, so that it may be forgettable sooner.
    pub(in crate::limiter) fn note_unused(&mut self, index: KeyIndex, rules: &Rules) {
        let Some(key) = self.get(index) else { return };
        let before = key.listed;
        if key
            .unused_at(rules)
            .is_some_and(|at| at < before.fresh.min(before.idle))
        {
            let now = key.listed_now(rules);
            if now.fresh < before.fresh || now.idle < before.idle {
                self.list(index, rules);
            }
        }
    }

    /// Lists all keys anew, since their limits have changed.
    pub(in crate::limiter) fn list_all(&mut self, rules: &Rules) {
        for (_, key) in &mut self.keys {
            key.listed = key.listed_now(rules);
        }
        let all = |at: fn(&Listed) -> Instant| {
            let keys = self.keys.iter();
            let listed = keys.map(|(index, key)| (at(&key.listed), KeyIndex::new(index)));
            listed.filter(|(at, _)| *at != Instant::NEVER).collect()
        };
        let (fresh, idle) = (all(|listed| listed.fresh), all(|listed| listed.idle));
        (self.forgettable.fresh, self.forgettable.idle) = (fresh, idle);
    }

    /// Lists a key as it is now.
    fn list(&mut self, index: KeyIndex, rules: &Rules) -> Listed {
        let key = &mut self.keys[usize::from(index)];
        let listed = key.listed_now(rules);
        let before = mem::replace(&mut key.listed, listed);
        self.forgettable.list(index, before, listed);
        listed
    }

    fn forget(&mut self, index: KeyIndex) {
        let key = self.keys.remove(index.into());
        self.forgettable.list(index, key.listed, Listed::NEVER);
        self.ids.remove(&key.id.0);
        self.lanes -= key.lanes.len();
    }
}

impl Forgettable {
    /// The next key to forget: one that is no different from a new one by now, or else the longest idle one, or else
    /// the first to be either.
    fn first(&self, now: Instant) -> Option<(Instant, KeyIndex)> {
        let (fresh, idle) = (self.fresh.first(), self.idle.first());
        let by_now = |first: &&(Instant, KeyIndex)| first.0 <= now;
        let due = fresh.filter(by_now).or(idle.filter(by_now));
        due.or(fresh.into_iter().chain(idle).min()).copied()
    }

    fn list(&mut self, index: KeyIndex, before: Listed, now: Listed) {
        for (keys, before, now) in [
            (&mut self.fresh, before.fresh, now.fresh),
            (&mut self.idle, before.idle, now.idle),
        ] {
            if before == now {
                continue;
            }
            keys.remove(&(before, index));
            if now != Instant::NEVER {
                keys.insert((now, index));
            }
        }
    }
}

/// The number of keys that the table holds at most.
fn most(max: usize) -> usize {
    max.saturating_add(max / LOOKS)
}

/// The number of keys that a search looks at. The table holds this part of `max` more, at most: as many searches have
/// looked at all keys.
const LOOKS: usize = 64;
