//! The one way between a limiter and its ledger.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
};

use tokio::runtime::Handle;

use super::{Errand, News};
use crate::{limiter::shared::Shared, observe, quota::shared::Reply};

/// Starts the task that carries errands to the ledger.
pub(crate) type Start = Arc<dyn Fn(Seam) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The reason that a ledger gave no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreached {
    /// No reply within 250 ms.
    Silent,
    /// The connection was refused or broke, or the reply was an error or nonsense.
    Failed(&'static str),
    /// The user has to change something: the password, the rights, the version.
    Misconfigured(&'static str),
}

impl Unreached {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Silent => "no reply within 250 ms",
            Self::Failed(why) | Self::Misconfigured(why) => why,
        }
    }

    /// Whether only the user can end it.
    pub(crate) fn is_lasting(self) -> bool {
        matches!(self, Self::Misconfigured(_))
    }
}

/// The task's side of a limiter. It does not keep the limiter alive.
#[derive(Clone, Debug)]
pub(crate) struct Seam(Weak<Shared>);

/// Errands on their way to the task.
pub(in crate::limiter) struct Outbox {
    errands: VecDeque<Errand>,
    seam: Seam,
    start: Start,
    /// Whether a task lives that takes the errands.
    runs: bool,
    waker: Option<Waker>,
}

impl Outbox {
    pub(super) fn new(seam: Seam, start: Start) -> Self {
        Self {
            errands: VecDeque::new(),
            seam,
            start,
            runs: false,
            waker: None,
        }
    }

    pub(in crate::limiter) fn push(&mut self, errand: Errand) {
        self.errands.push_back(errand);
    }

    /// Returns the task to start or to wake once the lock is released, if there are errands.
    pub(super) fn task(&mut self) -> Option<Task> {
        if self.errands.is_empty() {
            return None;
        }
        if !self.runs {
            return Some(Task::Start(self.seam.clone(), Arc::clone(&self.start)));
        }
        self.waker.take().map(Task::Wake)
    }

    /// A task takes the errands. Returns false if one did already.
    fn starts(&mut self) -> bool {
        !std::mem::replace(&mut self.runs, true)
    }

    /// The task has ended.
    pub(in crate::limiter) fn ended(&mut self) {
        self.runs = false;
        self.waker = None;
        self.errands.clear();
    }
}

/// News and a wake of the task, for when the lock is released.
pub(in crate::limiter) struct Dispatch {
    pub(super) news: Vec<News>,
    pub(super) task: Option<Task>,
}

/// The task that takes errands: to be started, or to be woken.
pub(super) enum Task {
    Start(Seam, Start),
    Wake(Waker),
}

impl Seam {
    pub(in crate::limiter) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// The next errand; `None` once the limiter is dropped.
    pub(crate) fn poll_errand(&self, cx: &mut Context<'_>) -> Poll<Option<Errand>> {
        let Some(shared) = self.0.upgrade() else {
            return Poll::Ready(None);
        };
        let errand = shared.with(|state, _| {
            let outbox = &mut state.sharing.as_mut().expect(SHARED).outbox;
            let errand = outbox.errands.pop_front();
            if errand.is_none() {
                outbox.waker = Some(cx.waker().clone());
            }
            errand
        });
        match errand {
            Some(errand) => Poll::Ready(Some(errand)),
            None => Poll::Pending,
        }
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

impl Dispatch {
    pub(in crate::limiter) fn run(self) {
        for news in self.news {
            match news {
                News::Away(why, closed) => {
                    observe::redis_away(why.text(), closed, why.is_lasting())
                }
                News::Back(processes) => observe::redis_back(processes),
                News::Unshared => observe::unshared(),
            }
        }
        if let Some(task) = self.task {
            task.run();
        }
    }
}

impl Task {
    /// Wakes the task, or starts one in the current runtime. Without a current runtime, the next poll of a
    /// waiting request starts it.
    fn run(self) {
        let (seam, start) = match self {
            Self::Wake(waker) => return waker.wake(),
            Self::Start(seam, start) => (seam, start),
        };
        let (Ok(runtime), Some(shared)) = (Handle::try_current(), seam.0.upgrade()) else {
            return;
        };
        if !shared.with(|state, _| state.sharing.as_mut().expect(SHARED).outbox.starts()) {
            return;
        }
        let runs = Runs(seam.clone());
        let task = start(seam);
        runtime.spawn(async move {
            let _runs = runs;
            task.await;
        });
    }
}

/// Notes the end of the task: its runtime may shut down.
struct Runs(Seam);

impl Drop for Runs {
    fn drop(&mut self) {
        if let Some(shared) = self.0.0.upgrade() {
            shared.with(|state, moment| state.task_ended(moment));
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("errands", &self.errands.len())
            .field("runs", &self.runs)
            .finish_non_exhaustive()
    }
}

const SHARED: &str = "a limiter that has a seam is shared";
