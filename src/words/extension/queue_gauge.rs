use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Request: counted here while it waits in a limiter's queue.
///
/// For a program that feeds requests in, and wants only a few to wait at any time, so that no quota is idle.
/// Put clones of one counter into all of the requests:
///
/// ```
/// use tower_together::extension::QueueGauge;
///
/// let gauge = QueueGauge::new();
/// let request = http::Request::post("https://api.together.ai/v1/embeddings")
///     .extension(gauge.clone())
///     .body(())?;
/// // While the request is in flight:
/// assert_eq!(gauge.count(), 0);
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct QueueGauge(Arc<AtomicUsize>);

impl QueueGauge {
    /// A new counter, at 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of requests that wait in the queue now.
    pub fn count(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Counts one more waiting request for as long as the returned value is kept.
    pub(crate) fn enter(&self) -> Stand {
        self.0.fetch_add(1, Relaxed);
        Stand(self.clone())
    }
}

/// One waiting request in the count.
#[derive(Debug)]
pub(crate) struct Stand(QueueGauge);

impl Drop for Stand {
    fn drop(&mut self) {
        (self.0).0.fetch_sub(1, Relaxed);
    }
}
