//! The state that all calls of a gateway share.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::interval;
use tower_together::Limiter;

use crate::{
    access::Access,
    body::Memory,
    config::args::Args,
    connection::descriptors::Descriptors,
    history::History,
    monitor::{Monitor, log::Log, traffic::Traffic},
    shutdown::Shutdown,
    upstream::{
        client::{self, Observer, Sender},
        key_rejected::Complaint,
        target::Target,
    },
};

pub(crate) struct Gateway {
    pub(crate) access: Access,
    pub(crate) target: Target,
    pub(crate) limiter: Limiter,
    /// The longest that a call waits for its turn.
    pub(crate) max_wait: Duration,
    pub(crate) sender: Sender,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) memory: Memory,
    /// The longest wait for a stream's first byte.
    pub(crate) first_byte: Duration,
    pub(crate) descriptors: Descriptors,
    pub(crate) shutdown: Shutdown,
    pub(crate) complaint: Complaint,
    pub(crate) monitor: Arc<Monitor>,
    history: Mutex<History>,
    /// Identifies this run of the program: counts of another run are void.
    pub(crate) run: u32,
}

impl Gateway {
    pub(crate) fn new(
        access: Access,
        target: Target,
        limiter: Limiter,
        descriptors: Descriptors,
        args: &Args,
    ) -> Self {
        let memory = Memory::new(args.body_memory, args.body_disk);
        let monitor = Arc::new(Monitor::new(Log::new(args.log)));
        Self {
            access,
            sender: client::sender(
                limiter.clone(),
                &target,
                &memory,
                Observer {
                    first_byte: args.first_byte,
                    monitor: Arc::clone(&monitor),
                    descriptors: descriptors.clone(),
                },
            ),
            target,
            limiter,
            max_wait: args.max_wait,
            traffic: Arc::default(),
            memory,
            first_byte: args.first_byte,
            descriptors,
            shutdown: Shutdown::new(args.grace),
            complaint: Complaint::default(),
            monitor,
            history: Mutex::default(),
            run: (RandomState::new().hash_one(()) >> 32) as u32,
        }
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a point to the history each second, for ever.
    pub(crate) async fn sample(self: Arc<Self>) {
        let mut clock = interval(SECOND);
        loop {
            clock.tick().await;
            let snapshot = self.limiter.snapshot();
            let outcomes = self.monitor.counts().totals();
            self.history().add(&snapshot, outcomes);
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
