//! One limit for many processes, through a Redis or Valkey server.

mod script;
mod task;
#[cfg_attr(not(feature = "redis-tls"), path = "tls/none.rs")]
mod tls;
#[cfg(test)]
mod trace;

use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use crate::{
    limiter::{Limiter, share},
    words::Error,
};

/// A Redis or Valkey server through which processes share their limits, for [`Limiter::shared_by`].
#[derive(Clone)]
pub struct Redis {
    client: redis::Client,
    namespace: Arc<str>,
    terms: share::Terms,
}

impl Redis {
    /// The server at a URL, in any form that the `redis` crate takes: `redis://:password@host:6379/0`,
    /// `rediss://` with the feature `redis-tls`, `redis+unix:///path`. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// If the URL has no such form.
    pub fn new(url: &str) -> Result<Self, Error> {
        let client = redis::Client::open(url).map_err(|error| {
            Error::redis(format!(
                "this is not the URL of a Redis server ({}): write for example redis://127.0.0.1:6379, or \
                 rediss:// with the feature `redis-tls`",
                error.detail().unwrap_or("it cannot be parsed")
            ))
        })?;
        Ok(Self {
            client,
            namespace: NAMESPACE.into(),
            terms: share::Terms {
                least_processes: 1,
                memory: MEMORY,
                closed: false,
            },
        })
    }

    /// Sets the beginning of the names of all keys in Redis. Processes share limits within one namespace.
    /// Default: `tower-together`.
    #[must_use]
    pub fn with_namespace(mut self, namespace: &str) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets how many processes a process expects at least. A process that has just started, and loses Redis
    /// before it has heard of the others, sends its part of so many. Default: 1.
    #[must_use]
    pub fn with_processes(mut self, at_least: NonZeroU32) -> Self {
        self.terms.least_processes = at_least.get().into();
        self
    }

    /// Sets for how long the part of a silent process is set aside. Default: 5 s.
    ///
    /// A process that is cut off for longer sends its part while the others use it too. A process that has
    /// crashed costs its part for this time.
    #[must_use]
    pub fn with_memory(mut self, memory: Duration) -> Self {
        self.terms.memory = memory.clamp(SHORTEST_MEMORY, LONGEST_MEMORY);
        self
    }

    /// Rejects requests while Redis does not reply, instead of sending this process's part of the limits.
    #[must_use]
    pub fn closed_while_away(mut self) -> Self {
        self.terms.closed = true;
        self
    }
}

impl Limiter {
    /// Shares the limits of this limiter with all processes that use the same key and the same Redis.
    #[must_use]
    pub fn shared_by(self, redis: Redis) -> Self {
        let terms = redis.terms;
        let redis = Arc::new(redis);
        let start: share::Start =
            Arc::new(move |seam| Box::pin(task::carry(seam, Arc::clone(&redis))));
        self.share(terms, start)
    }
}

/// Shows no password.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("namespace", &self.namespace)
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}

const NAMESPACE: &str = "tower-together";
const MEMORY: Duration = Duration::from_secs(5);
const SHORTEST_MEMORY: Duration = Duration::from_secs(1);
const LONGEST_MEMORY: Duration = Duration::from_secs(3_600);
