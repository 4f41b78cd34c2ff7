//! The one way between a limiter and its ledger.

use std::{
    future::Future,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use super::{Errand, Sharing, Terms, Unreached};
use crate::{
    limiter::{Limiter, shared::Shared},
    quota::shared::Reply,
};

/// The task's side of a limiter. It does not keep the limiter alive.
#[derive(Clone, Debug)]
pub(crate) struct Seam(Weak<Shared>);

impl Limiter {
    /// Shares the limits with other processes, through the task that `carry` makes.
    pub(crate) fn share<F>(
        self,
        terms: Terms,
        carry: impl Fn(Seam) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let seam = Seam(Arc::downgrade(&self.shared));
        let start = Arc::new(move || {
            let runs = Runs(seam.clone());
            let task = carry(seam.clone());
            let task = async move {
                let _runs = runs;
                task.await;
            };
            Box::pin(task) as _
        });
        self.shared.with(|state, _| {
            state.sharing = Some(Box::new(Sharing::new(terms, start)));
        });
        self
    }
}

impl Seam {
    /// The next errand; `None` once the limiter is dropped.
    pub(crate) fn poll_errand(&self, cx: &mut Context<'_>) -> Poll<Option<Errand>> {
        let Some(shared) = self.0.upgrade() else {
            return Poll::Ready(None);
        };
        shared.with(|state, _| match &mut state.sharing {
            Some(sharing) => sharing.outbox.poll(cx).map(Some),
            None => Poll::Ready(None),
        })
    }

    /// An errand has a reply, or will have none.
    pub(crate) fn done(&self, errand: &Errand, reply: Result<Reply, Unreached>) {
        if let Some(shared) = self.0.upgrade() {
            shared.with(|state, moment| state.errand_done(errand, reply, moment));
        }
    }

    /// Errands that say goodbye for the keys that have needed nothing for 300 ms.
    pub(crate) fn goodbyes(&self) -> Vec<Errand> {
        let shared = self.0.upgrade();
        shared.map_or_else(Vec::new, |shared| {
            shared.with(|state, moment| state.goodbyes(moment.now))
        })
    }
}

/// Notes the end of the task: it panics, or its runtime shuts down.
struct Runs(Seam);

impl Drop for Runs {
    fn drop(&mut self) {
        if let Some(shared) = self.0.0.upgrade() {
            shared.with(|state, moment| state.task_ended(moment));
        }
    }
}
