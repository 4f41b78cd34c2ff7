//! Watching the jobs of a limiter.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use tokio::time::timeout;

use super::JobBook;
use crate::{
    limiter::{Limiter, shared::Shared, state::State},
    words::{Instant, JobKind},
};

impl Limiter {
    /// Whether the book belongs to this limiter, and not to another one.
    pub(crate) fn owns(&self, book: &JobBook) -> bool {
        Arc::ptr_eq(&self.shared, &book.shared)
    }

    /// The instant up to which a server that is asked from now on knows of jobs.
    pub(crate) fn now(&self) -> Instant {
        self.shared.with(|_, moment| moment.now)
    }

    /// The kinds of jobs that the table in force limits.
    pub(crate) fn limited_jobs(&self) -> Vec<JobKind> {
        self.shared.with(|state, _| {
            let limited = |kind: &JobKind| state.rules.limits_jobs(kind.creation());
            JobKind::ALL.into_iter().filter(limited).collect()
        })
    }
}

/// Waits until a request waits for a job to end.
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    index: usize,
}

impl Watcher {
    pub(crate) fn new(limiter: &Limiter) -> Self {
        let shared = Arc::clone(&limiter.shared);
        let index = shared.with(|state, _| state.jobs.watchers.insert(None));
        Self { shared, index }
    }

    /// Waits until a request of this key, or of any key if `book` is `None`, waits for a job to end. Returns
    /// the kinds of these jobs, or `None` if the limiter was closed.
    pub(crate) async fn awaited(&self, book: Option<&JobBook>) -> Option<Vec<JobKind>> {
        let key = book.map(|book| book.id);
        self.until(|state| {
            let awaited = |kind: &JobKind| state.awaits_job(key, kind.creation());
            let awaited: Vec<_> = JobKind::ALL.into_iter().filter(awaited).collect();
            (!awaited.is_empty()).then_some(awaited)
        })
        .await
    }

    /// Sleeps for `time`, or until the limiter is closed.
    pub(crate) async fn rest(&self, time: Duration) {
        // In both cases the caller asks next what is awaited.
        let _ = timeout(time, self.until(|_| None::<()>)).await;
    }

    /// Waits until `something` is found. `None` if the limiter was closed.
    async fn until<T>(&self, something: impl Fn(&State) -> Option<T>) -> Option<T> {
        poll_fn(|cx| {
            self.shared.with(|state, moment| {
                if state.is_closed() {
                    return Poll::Ready(None);
                }
                let found = something(state);
                if found.is_none() {
                    state.watch_jobs(self.index, cx.waker(), moment);
                    return Poll::Pending;
                }
                Poll::Ready(found)
            })
        })
        .await
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.with(|state, moment| {
            if let Some(waker) = state.jobs.watchers.remove(self.index) {
                moment.wakes.discard(waker);
            }
        });
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::words::Limits;

    #[test]
    fn nothing_stays_of_a_watcher_that_is_dropped() {
        let limiter = Limiter::new(Limits::none());
        let watchers = || limiter.shared.with(|state, _| state.jobs.watchers.len());
        let watcher = Watcher::new(&limiter);
        assert_eq!(watchers(), 1);
        drop(watcher);
        assert_eq!(watchers(), 0);
    }
}
