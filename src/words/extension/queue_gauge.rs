use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Request: counted here while it stands in a limiter's line.
///
/// For whoever feeds requests in, and wants a few to be waiting at any time, so that no quota is idle,
/// and no more: one counter goes, cloned, into all of them.
///
/// ```
/// use tower_together::extension::QueueGauge;
///
/// let gauge = QueueGauge::new();
/// let request = http::Request::post("https://api.together.ai/v1/embeddings")
///     .extension(gauge.clone())
///     .body(())?;
/// // While it is under way:
/// assert_eq!(gauge.count(), 0);
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct QueueGauge(Arc<AtomicUsize>);

impl QueueGauge {
    /// A counter, at 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many of its requests stand in line now.
    pub fn count(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// One stands in line for as long as this is kept.
    pub(crate) fn enter(&self) -> Stand {
        self.0.fetch_add(1, Relaxed);
        Stand(self.clone())
    }
}

/// A place in a count.
#[derive(Debug)]
pub(crate) struct Stand(QueueGauge);

impl Drop for Stand {
    fn drop(&mut self) {
        (self.0).0.fetch_sub(1, Relaxed);
    }
}
