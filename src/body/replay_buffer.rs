use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Bounds the memory kept for sending request bodies again: of each body, and of all together.
///
/// Reference-counted clones, such as `Bytes`, are free. After the 64th frame of a streamed body, each frame
/// counts as at least 128 bytes, its real cost in memory.
#[derive(Clone)]
pub struct ReplayBuffer {
    pool: Arc<Pool>,
}

/// A part of the buffer, released when dropped.
#[derive(Debug)]
pub struct Reserved {
    bytes: usize,
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    each: usize,
    all: usize,
    used: AtomicUsize,
}

impl ReplayBuffer {
    /// At most `each` bytes of one body, and `all` of all bodies together.
    pub fn new(each: usize, all: usize) -> Self {
        Self {
            pool: Arc::new(Pool {
                each,
                all,
                used: AtomicUsize::new(0),
            }),
        }
    }

    /// Reserves `bytes` for one body; `None` if there is no room.
    pub fn reserve(&self, bytes: usize) -> Option<Reserved> {
        let mut reserved = Reserved {
            bytes: 0,
            pool: Arc::clone(&self.pool),
        };
        reserved.grow(bytes).then_some(reserved)
    }
}

impl Reserved {
    /// Reserves `bytes` more for the same body. Returns whether there was room; otherwise nothing changes.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let Pool { each, all, used } = &*self.pool;
        let fits = |used: usize, most: usize| used.checked_add(bytes).filter(|sum| *sum <= most);
        // Nothing else depends on this number, so no ordering is needed.
        let relaxed = Ordering::Relaxed;
        let grown = fits(self.bytes, *each).is_some()
            && used
                .fetch_update(relaxed, relaxed, |used| fits(used, *all))
                .is_ok();
        self.bytes += if grown { bytes } else { 0 };
        grown
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Default for ReplayBuffer {
    /// 2 MiB per body, the size of a long prompt with pictures, and 64 MiB for all bodies.
    fn default() -> Self {
        Self::new(2 << 20, 64 << 20)
    }
}

impl fmt::Debug for ReplayBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBuffer")
            .field("each", &self.pool.each)
            .field("all", &self.pool.all)
            .field("used", &self.pool.used)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_and_all_are_bounded_and_come_back() {
        let memory = ReplayBuffer::new(10, 15);
        assert!(memory.reserve(11).is_none());
        let mut one = memory.reserve(6).unwrap();
        assert!(one.grow(4) && !one.grow(1));
        let two = memory.clone().reserve(5).unwrap();
        assert!(memory.reserve(1).is_none());
        drop(one);
        assert!(memory.reserve(10).is_some());
        drop(two);
        assert!(memory.reserve(usize::MAX).is_none());
        assert_eq!(memory.pool.used.load(Ordering::Relaxed), 0);
    }
}
