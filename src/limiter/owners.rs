//! The limiter of each key, over all limiters of the process.

use std::{
    collections::HashMap,
    hash::BuildHasherDefault,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use tokio::time::Instant;

use super::registry::Hashed;
use crate::words::KeyId;

/// Whether this key is limited by another limiter too, or by ten of them in a row within a minute, each of
/// which allows the whole limit. Returns true once for each key.
///
/// A key is a hash with the process's own secret. At most 1,024 keys in use are known at a time.
pub(super) fn has_another(key: KeyId, limiter: &Arc<()>, now: Instant) -> bool {
    static OWNERS: LazyLock<Mutex<Owners>> = LazyLock::new(Mutex::default);
    let mut owners = OWNERS.lock().unwrap_or_else(PoisonError::into_inner);
    owners.has_another(key, limiter, now)
}

#[derive(Default)]
struct Owners {
    of: HashMap<KeyId, Owner, BuildHasherDefault<Hashed>>,
    /// The number of keys for which there was no room since the last search for some.
    without: usize,
}

struct Owner {
    limiter: Weak<()>,
    /// The number of limiters made in a row, each after the one before it was dropped. `since` is when the
    /// row began.
    row: u32,
    since: Instant,
    warned: bool,
}

impl Owner {
    fn new(limiter: &Arc<()>, now: Instant) -> Self {
        Self {
            limiter: Arc::downgrade(limiter),
            row: 1,
            since: now,
            warned: false,
        }
    }

    fn is_gone(&self) -> bool {
        self.limiter.strong_count() == 0
    }

    /// Whether `limiter` limits the key beside, or too soon after, another one.
    fn has_another(&mut self, limiter: &Arc<()>, now: Instant) -> bool {
        if std::ptr::eq(self.limiter.as_ptr(), Arc::as_ptr(limiter)) {
            return false;
        }
        if !self.is_gone() {
            return true;
        }
        self.limiter = Arc::downgrade(limiter);
        if now.saturating_duration_since(self.since) > MINUTE {
            (self.row, self.since) = (0, now);
        }
        self.row += 1;
        self.row >= IN_A_ROW
    }
}

impl Owners {
    fn has_another(&mut self, key: KeyId, limiter: &Arc<()>, now: Instant) -> bool {
        if let Some(owner) = self.of.get_mut(&key) {
            return owner.has_another(limiter, now) && !std::mem::replace(&mut owner.warned, true);
        }
        if self.has_room() {
            self.of.insert(key, Owner::new(limiter, now));
        }
        false
    }

    /// Searches the table at most once for each time that it could have been filled. A key costs little more
    /// if there is no room for it.
    fn has_room(&mut self) -> bool {
        if self.of.len() >= MAX && self.without % MAX == 0 {
            self.of.retain(|_, owner| !owner.is_gone());
        }
        let has_room = self.of.len() < MAX;
        self.without = if has_room { 0 } else { self.without + 1 };
        has_room
    }
}

/// Takes some 100 KB.
const MAX: usize = 1_024;

/// A program that is configured again makes only a few.
const IN_A_ROW: u32 = 10;
const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[test]
    fn another_limiter_is_warned_of_once_for_each_key() {
        let mut owners = Owners::default();
        let [one, other] = [(); 2].map(|()| Arc::new(()));
        for key in [KeyId(1), KeyId(2)] {
            assert!(!owners.has_another(key, &one, now()));
            assert!(!owners.has_another(key, &one, now()));
            assert!(owners.has_another(key, &other, now()));
            assert!(!owners.has_another(key, &other, now()));
        }
    }

    #[test]
    fn a_limiter_that_is_gone_is_no_other_unless_it_is_one_of_ten_in_a_minute() {
        let mut owners = Owners::default();
        let start = now();
        let mut warned = |n: u32, apart| {
            let at = start + apart * n;
            owners.has_another(KeyId(1), &Arc::new(()), at)
        };
        let apart = MINUTE / 8;
        assert!((0..100).all(|n| !warned(n, apart)));
        let warned: Vec<_> = (1_000..1_030).filter(|n| warned(*n, MINUTE / 10)).collect();
        assert_eq!(warned.len(), 1);
    }

    #[test]
    fn the_table_is_bounded_and_has_room_again_once_limiters_are_gone() {
        let mut owners = Owners::default();
        let (one, two) = (Arc::new(()), Arc::new(()));
        for key in 0..3 * MAX as u64 {
            owners.has_another(KeyId(key), &one, now());
        }
        assert_eq!(owners.of.len(), MAX);
        drop(one);
        for key in 10_000..10_000 + 2 * MAX as u64 {
            owners.has_another(KeyId(key), &two, now());
        }
        assert_eq!(owners.of.len(), MAX);
        assert!(owners.of.values().all(|owner| !owner.is_gone()));
    }
}
