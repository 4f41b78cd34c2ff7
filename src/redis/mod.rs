//! Many machines: processes that use one API key share its limits through a Redis or Valkey server.
//!
//! A limiter counts for its own process, so two processes with one key send twice the limit. With
//! [`Limiter::shared_by`] no window of time has more departures than the limit allows, over all processes that
//! use the same key and the same Redis. The call needs the feature `redis`. Without it nothing changes.
//!
//! ```
//! use tower_together::{Limiter, TogetherLayer, redis::Redis};
//!
//! # fn main() -> Result<(), tower_together::Error> {
//! let redis = Redis::new("redis://127.0.0.1:6379")?;
//! let limiter = Limiter::default().shared_by(redis); // this line, in each process
//! let layer = TogetherLayer::from(limiter);
//! # Ok(())
//! # }
//! ```
//!
//! With other settings, and with limits of your own:
//!
//! ```
//! use std::{num::NonZeroU32, time::Duration};
//!
//! use tower_together::{Endpoint, Error, Limiter, Limits, Quota, redis::Redis};
//!
//! fn limiter() -> Result<Limiter, Error> {
//!     let redis = Redis::new("redis://limits:PASSWORD@redis.internal:6379/0")?
//!         .with_namespace("chat-service") // apart from other programs on this Redis
//!         .with_processes(NonZeroU32::new(8).expect("not zero"))
//!         .with_memory(Duration::from_secs(30));
//!     let limits = Limits::default().requests(Endpoint::ChatCompletions, Quota::per_minute(3_000)?);
//!     Ok(Limiter::new(limits).shared_by(redis))
//! }
//! # limiter().unwrap();
//! ```
//!
//! The example `shared_redis` runs eight processes on one key, kills Redis and one of them on the way, and
//! counts what they sent:
//!
//! ```text
//! cargo run --release --features redis --example shared_redis
//! ```
//!
//! # How it decides
//!
#![cfg_attr(doc, doc = include_str!("../../docs/many_machines.svg"))]
//!
//! - **A lease names instants.** A process is granted instants on one timeline: the first, the distance between
//!   two, and their number. The instants of a limit do not overlap, whichever process has them.
//! - **The timeline is on Redis' clock.** A reply carries Redis' instant. The process knows when it sent the call
//!   and when it got the reply, and so knows bounds of the difference between the two clocks. It assumes
//!   nothing else: the clocks may differ by hours. No request departs before its instant has surely come.
//! - **Late instants lapse.** A request departs at its instant or a little later: up to 1 % of the window, but at
//!   most 50 ms. If 15 ms, or one and a half round trips of the slowest process, are more, they count instead.
//!   The distance between instants pays for that: with fast round trips 1.5 % of a window of 1 s, 0.8 % of 6 s,
//!   0.1 % of a minute. A quota under which several lanes send pays up to 1 % of its window more, at most 100 ms.
//! - **One script decides.** It charges all limits of a lane, or none. The calls of all processes are executed
//!   one after another.
//! - **No request awaits Redis.** A task of the limiter calls it, before the instants at hand are used up. If a
//!   lane has no instant, a request waits in the lane's queue as it does without Redis.
//!
//! # What is shared
//!
//! | | between the processes |
//! |---|---|
//! | limits on requests and on tokens, in the table | shared, for each API key or [name](crate::extension::ApiKey::named) |
//! | the cost of responses in tokens | charged as expected. The next call to Redis corrects the charge, up or down, so a window may be over by the tokens in flight |
//! | pauses after a 429, or after a 503 that names a wait | shared: all processes pause within two cycles (200 ms) |
//! | the [learned pace](crate::limiter#what-it-learns), and limits that the server names | shared: one process learns for all, from what all have sent and were told. If it makes no call for 2 s, another one goes on from the same pace. While Redis is away nothing is learned. A process with [`adaptive(false)`](Limiter::adaptive) keeps to its table |
//! | what the server says remains | each process counts from the response that it had; what others sent counts with the next call |
//! | limits of requests in flight, slots of jobs | not shared: each process has all of them. With the feature `tracing` a warning says so once |
//! | [bursts](crate::Quota::with_burst), [unpaced](crate::Quota::unpaced) windows | without effect: shared limits are paced evenly |
//! | the order of requests | first come, first served within a process; in turn between processes |
//!
//! A number that you wrote always holds. A number that this crate supplied is where a lane starts: once the lane
//! has learned its pace, the pace applies in its place, and is shared in the same way.
//!
//! [`Limiter::try_acquire`] rejects a request if its lane has no instant at hand, and asks Redis for one: try
//! again some milliseconds later. Call it within a Tokio runtime, or no task asks.
//!
//! # Fairness
//!
//! Each process with waiting requests is served once in a cycle of 100 ms, with as much as fits in its part of
//! the cycle. Processes that always have work therefore send the same number, within 3 %. A process that asks
//! for less than its part gets all of it, and the others share the rest. A process that has all of the work
//! gets all of the limit. A lone request beside busy processes waits for two cycles or less at the median, if
//! the limit allows ten requests a second for each process. Below that it waits for its turn.
//!
//! # While Redis is away
//!
//! Redis counts as away if a call has no reply, if the connection is refused, or if the reply is an error or
//! nonsense. 250 ms after such a call, the process sends its part of each limit: `max / N - 1` requests in each
//! window, rounded down. If that is less than one, the process sends one request in each window, or in each
//! `N / max` windows if there are more processes than requests. `N` is the number of processes in the last
//! reply, and at least [`with_processes`](Redis::with_processes). A process that has never had a reply counts
//! as one of eight, or as one of `with_processes` if that is more.
//!
//! While Redis remembers a silent process, it sets that process's part aside. So the sum of all processes stays
//! within the limit, whether Redis is away for one of them or for all. The [memory](Redis::with_memory) is a
//! trade-off:
//!
//! | memory | a process that only is cut off for longer | a process that crashes |
//! |---|---|---|
//! | 5 s (default) | adds its part to the limit from then on, since the others use that part too | costs its part for 5 s |
//! | 30 s | adds nothing for 30 s | costs its part for 30 s |
//!
//! A process that stops needing instants says goodbye to Redis. Nothing is set aside for it.
//!
//! When Redis replies again, the processes continue without a burst and without a debt. An empty Redis, after a
//! restart, a flush or a failover, is told by each process how far the limits were granted, and how many
//! processes there are. Redis needs no persistence for this.
//!
//! With [`closed_while_away`](Redis::closed_while_away) a process sends nothing instead. Requests without an
//! instant are rejected with [`Reason::RedisAway`](crate::limiter::Reason::RedisAway), which is a 503 with
//! `Retry-After`, 250 ms after the unanswered call.
//!
//! With the feature `tracing` one warning says that Redis is away and why, and one event that it is back. If
//! only you can end it, because of the password, rights, version or namespace, the event is an error, and
//! Redis is called every 10 s. Otherwise it is called after 100 ms, then every 200 ms.
//!
//! # Rolling deploys
//!
//! During a deploy, processes with two tables of limits share one key. Of two numbers for the same limit the
//! stricter one holds for all processes, for as long as a process with it calls Redis, and up to a minute
//! longer. Two limits are the same if they count the same unit for the same endpoints and the same model.
//!
//! # Rights
//!
//! A user of Redis 6.0 or later, or of Valkey, needs these rights and no other:
//!
//! ```sh
//! redis-cli ACL SETUSER limits on '>PASSWORD' '~tower-together:*' \
//!     +eval +evalsha +time +hmget +hset +zadd +zcard +zcount +zrem +zremrangebyscore +pexpire
//! ```
//!
//! With another [namespace](Redis::with_namespace), write that in place of `tower-together`. A database other
//! than 0 also needs `+select`.
//!
//! # Cost
//!
//! Read from `INFO commandstats`, `INFO stats` and `MEMORY USAGE`, with processes that always have work:
//!
//! | | |
//! |---|---|
//! | calls | at most 20 a second for each key and each process with waiting requests, of which ten may follow each other at once (8 processes: 14 a second each); none from an idle process |
//! | bytes of a call | 0.45 KB to Redis and 0.1 KB back with one limit; each further limit adds about 0.1 KB, and each 429 0.1 KB |
//! | time of a call in Redis | 42 us with one limit, 65 us with five, if calls follow each other; four times as long for a Redis that sleeps between them (two busy cores, Redis 7.0) |
//! | memory in Redis | for each key 0.35 KB with one limit, 0.6 KB with five; beside it 0.1 KB with one process, 0.25 KB with 8, 0.75 KB with 32 |
//! | connections | one for each limiter |
//!
//! Redis deletes a key that is not used for an hour after the last instant that it has granted (`PEXPIRE`).
//!
//! # Privacy
//!
//! No API key, model or endpoint is sent to Redis. A key's name there is `tower-together:{..}h` or `..m`, with
//! the first half of a SHA-256 of the namespace and the API key's own SHA-256. Limits and lanes are named by
//! parts of a SHA-256 too. A process is a random number. `Debug` of a [`Redis`] shows no URL.
//!
//! # TLS
//!
//! URLs of the form `rediss://` need the feature `redis-tls`. The server's certificate must be signed by an
//! authority of the crate `webpki-roots`. rustls needs a crypto provider, and this crate chooses none. A program
//! in which no other crate brings one adds it, for example with `cargo add rustls@0.23`.
//!
//! # What to avoid
//!
//! - **Two namespaces for one key**: they are two limits, and allow twice as much. So do two Redis servers.
//! - **A key with and without a [name](crate::extension::ApiKey::named)**: the name and the key are two limits.
//! - **A replica's address.** It rejects the script, and counts as away. Use the primary's address.
//! - **Redis Cluster and Sentinel** are not supported yet: the URL is of one server. Behind a name or a proxy
//!   that follows failovers, a failover is treated like any loss of data.
//! - **Different memories**: a process is forgotten after the shortest memory among the processes.
//!
//! An evicting `maxmemory-policy` does no harm. An evicted key is taught again by the next calls, as an empty
//! Redis is.
//!
//! A limit holds at the instant at which a request departs from the limiter. A process that is stopped between
//! that instant and its socket, or a virtual machine that is stopped together with its clock, sends later.
//!
//! # Cancel safety and panics
//!
//! A request that is dropped while it waits costs nothing: its instant goes to the next request of the lane,
//! or lapses. The limiter's task runs in the Tokio runtime of the first request that has to wait, and ends
//! within 300 ms after the limiter is dropped. If that runtime ends, the next request that waits starts the
//! task in its own runtime. Nothing here panics, except as [`Limiter::acquire`] does outside of a runtime.

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

/// The Redis or Valkey server through which processes share their limits, for [`Limiter::shared_by`].
///
/// [The module](self) tells how the limits are shared, and what Redis must allow.
#[derive(Clone)]
pub struct Redis {
    client: redis::Client,
    namespace: Arc<str>,
    terms: share::Terms,
}

impl Redis {
    /// Names the server by a URL, in any form that the `redis` crate takes:
    ///
    /// | URL | connects |
    /// |---|---|
    /// | `redis://user:password@host:6379/0` | over TCP; user, password, port and database may be omitted |
    /// | `rediss://user:password@host:6380/0` | over TLS, with the feature `redis-tls` |
    /// | `redis+unix:///path/to/socket?db=0&pass=password` | over a Unix socket |
    ///
    /// Nothing is sent yet: the first request that has to wait connects.
    ///
    /// The certificate of a `rediss://` server is checked against the system's root certificates, or those in the file
    /// that the environment variable `SSL_CERT_FILE` names.
    ///
    /// # Errors
    ///
    /// If the URL has none of these forms, or if it has the form `rediss://` without the feature `redis-tls`.
    ///
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
                least_processes: None,
                memory: MEMORY,
                closed: false,
            },
        })
    }

    /// Sets the beginning of the names of all keys in Redis. Default: `tower-together`.
    ///
    /// Processes share limits within one namespace. Two namespaces for one API key allow twice its limits.
    #[must_use]
    pub fn with_namespace(mut self, namespace: &str) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets the least number of processes that a process counts with. Default: those of which Redis has told it,
    /// and eight before the first reply.
    ///
    /// While Redis is away, a process sends its part of the limits as one of at least `at_least` processes. This
    /// matters to a process that loses Redis before it has heard of the others. With an empty Redis each process starts with its part
    /// among `at_least`, for 2 s.
    #[must_use]
    pub fn with_processes(mut self, at_least: NonZeroU32) -> Self {
        self.terms.least_processes = Some(at_least.get().into());
        self
    }

    /// Sets for how long Redis sets the part of a silent process aside. Default: 5 s, longer than most restarts
    /// and failovers that one process alone can miss. At least 1 s and at most an hour; other values are
    /// rounded to these.
    ///
    /// A process that is cut off for longer sends its part while the others use it too. A process that has
    /// crashed costs its part for this time. Give all processes the same `memory`.
    #[must_use]
    pub fn with_memory(mut self, memory: Duration) -> Self {
        self.terms.memory = memory.clamp(SHORTEST_MEMORY, LONGEST_MEMORY);
        self
    }

    /// Rejects requests while Redis is away, instead of sending this process's part of the limits. Default: the
    /// part is sent.
    ///
    /// A request is rejected with [`Reason::RedisAway`](crate::limiter::Reason::RedisAway), 250 ms after the
    /// unanswered call, unless an instant was granted to it before.
    #[must_use]
    pub fn closed_while_away(mut self) -> Self {
        self.terms.closed = true;
        self
    }
}

impl Limiter {
    /// Shares the limits of this limiter with all processes that use the same key and the same Redis. Default:
    /// a limiter counts for its own process.
    ///
    /// Call it once, before the first request. It holds for all clones. It sends nothing, and needs no runtime:
    /// a task is spawned when a request has to wait. See [`redis`](crate::redis).
    ///
    /// ```
    /// use tower_together::{Limiter, redis::Redis};
    ///
    /// # fn main() -> Result<(), tower_together::Error> {
    /// let limiter = Limiter::default().shared_by(Redis::new("redis://127.0.0.1:6379")?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn shared_by(self, redis: Redis) -> Self {
        let terms = redis.terms;
        let redis = Arc::new(redis);
        self.share(terms, move |seam| task::carry(seam, Arc::clone(&redis)))
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
/// A process that waits for a reply, or reconnects, is silent for up to 200 ms at a time.
const SHORTEST_MEMORY: Duration = Duration::from_secs(1);
const LONGEST_MEMORY: Duration = Duration::from_secs(3_600);
