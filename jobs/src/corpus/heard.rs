//! Signs that the server responds.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use crate::failure::Failure;

/// The responses to all requests of a corpus.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Counts>);

#[derive(Default)]
struct Counts {
    /// Whether there was any response, of the server or of the limiter.
    anything: AtomicBool,
    begun: AtomicU64,
    successes: AtomicU64,
    /// The number of the newest request that succeeded.
    newest: AtomicU64,
}

/// When a request began: its number, from 1 on, and the successes before it. Parts of a request that are sent
/// together have one number, and the successes before the whole.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    number: u64,
    successes: u64,
}

impl Heard {
    pub(super) fn begin(&self) -> Begun {
        let successes = self.0.successes.load(Relaxed);
        let number = 1 + self.0.begun.fetch_add(1, Relaxed);
        Begun { number, successes }
    }

    pub(super) fn begin_parts(&self, whole: Begun) -> Begun {
        Begun {
            successes: whole.successes,
            ..self.begin()
        }
    }

    pub(super) fn success(&self, begun: Begun) {
        self.0.anything.store(true, Relaxed);
        self.0.successes.fetch_add(1, Relaxed);
        self.0.newest.fetch_max(begun.number, Relaxed);
    }

    pub(super) fn failure(&self, failure: &Failure) {
        if failure.was_answered() {
            self.0.anything.store(true, Relaxed);
        }
    }

    pub(super) fn anything(&self) -> bool {
        self.0.anything.load(Relaxed)
    }

    /// Whether the server responds to other requests than one that fails with 5xx: one that began no earlier has
    /// succeeded. That of an older one says nothing of an outage that has begun since.
    ///
    /// After the `last` attempt any success counts that came since the request began, for later there may be no
    /// other request.
    pub(super) fn others_than(&self, begun: Begun, last: bool) -> bool {
        let counts = &self.0;
        counts.newest.load(Relaxed) >= begun.number
            || last && counts.successes.load(Relaxed) > begun.successes
    }
}
