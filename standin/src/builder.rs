//! How a server is set up.

use std::{
    hash::RandomState,
    io,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    books::Books,
    chaos::Chaos,
    engine::Engine,
    headers::Headers,
    jobs::{Jobs, World},
    latency::Latency,
    ledger::Ledger,
    manner::Manner,
    replies::Shape,
    rules::Rules,
    script::Script,
    shared::Shared,
    stream::Streams,
};

/// Sets up a [`StandIn`](crate::StandIn).
#[derive(Clone, Debug)]
#[must_use = "nothing listens before start()"]
pub struct Builder {
    rules: Rules,
    latency: Latency,
    headers: Headers,
    top_level_error_type: bool,
    count_refused: bool,
    chunk_delay: Duration,
    shape: Shape,
    listen: String,
    chaos: Option<u64>,
    jobs: Jobs,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            rules: Rules::default(),
            latency: Latency::new(DEFAULT_LATENCY),
            headers: Headers::default(),
            top_level_error_type: false,
            count_refused: false,
            chunk_delay: Duration::ZERO,
            shape: Shape {
                dimension: DEFAULT_DIMENSION,
                trailing_usage: false,
            },
            listen: "127.0.0.1:0".to_owned(),
            chaos: None,
            jobs: Jobs::default(),
        }
    }

    /// Sets the limits; by default those of [`Rules::default`].
    pub fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Has embeddings' limit move, as in [`Rules::moving`], with headers on every response: for a
    /// client that learns its limits.
    pub fn moving(self) -> Self {
        self.rules(Rules::moving()).headers(Headers::Always)
    }

    /// Sets how long responses take: spread over this range, in the same way each time. By default
    /// 2 to 20 milliseconds, so that requests overlap as they do in earnest.
    ///
    /// # Panics
    /// If the range ends before it starts.
    pub fn latency(mut self, latency: RangeInclusive<Duration>) -> Self {
        self.latency = Latency::new(latency);
        self
    }

    /// Sets which responses carry rate limit headers; by default rejections.
    pub fn headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// Sets whether a rejection's type, which is in `error.type`, also is in an `error_type` beside
    /// `error`; by default not. The API's documents name it so and do not say where it is.
    pub fn top_level_error_type(mut self, top_level_error_type: bool) -> Self {
        self.top_level_error_type = top_level_error_type;
        self
    }

    /// Sets whether rejected requests consume too; by default they do not.
    pub fn count_refused(mut self, count_refused: bool) -> Self {
        self.count_refused = count_refused;
        self
    }

    /// Sets the time from one chunk of a stream to the next; by default none.
    pub fn chunk_delay(mut self, chunk_delay: Duration) -> Self {
        self.chunk_delay = chunk_delay;
        self
    }

    /// Sets whether a stream's usage comes in a chunk of its own at the end, without choices, as
    /// OpenAI's does; by default it is on the chunk with the `finish_reason`, as Together's is.
    pub fn trailing_usage(mut self, trailing_usage: bool) -> Self {
        self.shape.trailing_usage = trailing_usage;
        self
    }

    /// Sets the length of embedding vectors; 64 by default, which is short to print.
    ///
    /// # Panics
    /// If it is 0.
    pub fn dimension(mut self, dimension: usize) -> Self {
        assert!(dimension > 0, "a vector needs a dimension: write 1 or more");
        self.shape.dimension = dimension;
        self
    }

    /// Sets the address, on loopback; by default `127.0.0.1:0`, where 0 is any free port.
    pub fn listen(mut self, listen: impl Into<String>) -> Self {
        self.listen = listen.into();
        self
    }

    /// Fails some of the requests that would have been accepted, in each way a server can fail; by
    /// default none. The faults are listed at the [crate]'s front page, and counted by
    /// [`StandIn::faults`](crate::StandIn::faults).
    ///
    /// The seed decides which requests: the same one fails the same numbers in the same ways,
    /// counted over all requests that would have been accepted, in the order they arrive. By the
    /// 240th each fault has happened once; from then on it is one request in 20. Two in a row
    /// never fail. A failed request consumes nothing. What is [scripted](crate::StandIn::script) is left
    /// alone.
    pub fn chaos(mut self, seed: u64) -> Self {
        self.chaos = Some(seed);
        self
    }

    /// Sets what jobs do, and how many there may be; by default any number, and all complete.
    pub fn jobs(mut self, jobs: Jobs) -> Self {
        self.jobs = jobs;
        self
    }

    /// The address, if it is one of loopback.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        loopback(&self.listen)
    }

    /// The state of a server that nobody has called yet.
    pub(crate) fn shared(self) -> Shared {
        Shared {
            started: Instant::now(),
            owners: RandomState::new(),
            manner: Manner {
                headers: self.headers,
                top_level_error_type: self.top_level_error_type,
                shape: self.shape,
                latency: self.latency,
                streams: Streams::new(self.chunk_delay),
            },
            connections: Arc::default(),
            connected: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            books: Mutex::new(Books {
                engine: Engine::new(self.rules).count_refused(self.count_refused),
                ledger: Ledger::default(),
                script: Script::default(),
                chaos: self.chaos.map(Chaos::new),
                world: World::new(self.jobs),
            }),
        }
    }
}

/// A server that takes any key and keeps a million arrivals must not be reached from outside.
fn loopback(listen: &str) -> io::Result<SocketAddr> {
    listen
        .parse()
        .ok()
        .filter(|address: &SocketAddr| address.ip().is_loopback())
        .ok_or_else(|| {
            let message = format!(
                "{listen} is not a loopback address with a port: this is a test server, so \
                 listen on 127.0.0.1:PORT or [::1]:PORT"
            );
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
}

const DEFAULT_LATENCY: RangeInclusive<Duration> =
    Duration::from_millis(2)..=Duration::from_millis(20);
const DEFAULT_DIMENSION: usize = 64;
