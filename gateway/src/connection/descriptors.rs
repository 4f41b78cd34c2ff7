//! File descriptors: takes as many as the system gives, and opens no more connections than there are descriptors.
//!
//! A call uses one for its program's connection and one for the API's. A call without a descriptor would fail, so it
//! waits: a program's connection in the system's queue, an attempt in the gateway.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::say::say;

#[derive(Clone)]
pub(crate) struct Descriptors {
    connections: Arc<Semaphore>,
    attempts: Arc<Semaphore>,
    each: usize,
}

impl Descriptors {
    /// Raises the soft limit to the hard one.
    pub(crate) fn raise() -> Self {
        let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(LEAST);
        let each = limit / 5 * 2;
        let each = usize::try_from(each).unwrap_or(usize::MAX);
        let each = each.clamp(1, Semaphore::MAX_PERMITS);
        if each < MANY {
            say(&format!(
                "the system allows {limit} open files, which is {each} programs at a time: raise it with \
                 ulimit -n"
            ));
        }
        Self {
            connections: Arc::new(Semaphore::new(each)),
            attempts: Arc::new(Semaphore::new(each)),
            each,
        }
    }

    /// The most connections from programs, and equally the most to the API.
    pub(crate) fn each(&self) -> usize {
        self.each
    }

    /// Waits for a descriptor for a program's connection.
    pub(crate) async fn connection(&self) -> OwnedSemaphorePermit {
        take(&self.connections).await
    }

    /// Whether most descriptors are in use, so that a connection should be closed after its response.
    pub(crate) fn are_scarce(&self) -> bool {
        self.connections.available_permits() < self.each / 4
    }

    /// Waits for a descriptor for a connection to the API.
    pub(crate) async fn attempt(&self) -> OwnedSemaphorePermit {
        take(&self.attempts).await
    }
}

async fn take(free: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let taken = Arc::clone(free).acquire_owned().await;
    taken.expect("never closed")
}

/// The assumed limit if the system does not report one.
const LEAST: u64 = 256;
/// Connections: below this number, fewer programs can connect than may have calls in the queue.
const MANY: usize = 1_000;
