//! The gateway's shutdown: the grace period of calls in flight, and the calls that were cut.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use tokio::sync::watch;

/// The progress of the shutdown.
pub(crate) struct Shutdown {
    grace: Duration,
    stage: watch::Sender<Stage>,
    cut: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Open,
    /// Queued calls are rejected, and calls in flight go on.
    Closing,
    /// The grace period has ended: calls in flight are cut.
    Over,
}

impl Shutdown {
    pub(crate) fn new(grace: Duration) -> Self {
        Self {
            grace,
            stage: watch::Sender::new(Stage::Open),
            cut: AtomicUsize::new(0),
        }
    }

    pub(crate) fn grace(&self) -> Duration {
        self.grace
    }

    /// The wait before a rejected call is retried: until this process has ended and another one listens. It is at most
    /// a minute, beyond which SDKs ignore `Retry-After`.
    pub(crate) fn retry_after(&self) -> Duration {
        self.grace.saturating_add(RESTART).min(LONGEST)
    }

    pub(crate) fn close(&self) {
        self.stage.send_replace(Stage::Closing);
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.stage.borrow() >= Stage::Closing
    }

    /// Ends the grace period.
    pub(crate) fn end(&self) {
        self.stage.send_replace(Stage::Over);
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.stage.borrow() == Stage::Over
    }

    /// Ready when the grace period has ended.
    pub(crate) fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stage = self.stage.subscribe();
        async move {
            if stage.wait_for(|stage| *stage == Stage::Over).await.is_err() {
                // The gateway has been dropped, and its calls with it.
                std::future::pending::<()>().await;
            }
        }
    }

    pub(crate) fn count_cut(&self) {
        self.cut.fetch_add(1, Relaxed);
    }

    /// Calls that were cut.
    pub(crate) fn cut(&self) -> usize {
        self.cut.load(Relaxed)
    }
}

/// The time that service managers need to restart a process.
const RESTART: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(60);
