//! Errands on their way to the task that carries them.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::runtime::Handle;

use super::{Errand, News};
use crate::observe;

/// Starts the task that carries errands to the ledger.
pub(super) type Start = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

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

/// Errands that the task has not taken yet.
pub(in crate::limiter) struct Outbox {
    errands: VecDeque<Errand>,
    start: Start,
    /// Whether a task lives that takes the errands.
    runs: bool,
    waker: Option<Waker>,
}

impl Outbox {
    pub(super) fn new(start: Start) -> Self {
        Self {
            errands: VecDeque::new(),
            start,
            runs: false,
            waker: None,
        }
    }

    pub(super) fn push(&mut self, errand: Errand) {
        self.errands.push_back(errand);
    }

    /// The next errand, for the task.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Errand> {
        match self.errands.pop_front() {
            Some(errand) => Poll::Ready(errand),
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The task to start or to wake once the lock is released, if there are errands. It is started in the
    /// current runtime. Without one, the next poll of a waiting request starts it.
    pub(super) fn task(&mut self) -> Option<Task> {
        if self.errands.is_empty() {
            return None;
        }
        if self.runs {
            return self.waker.take().map(Task::Wake);
        }
        let runtime = Handle::try_current().ok()?;
        self.runs = true;
        Some(Task::Start(runtime, Arc::clone(&self.start)))
    }

    /// The task has ended, and with it every errand that it had.
    pub(super) fn ended(&mut self) {
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
    Start(Handle, Start),
    Wake(Waker),
}

impl Dispatch {
    pub(in crate::limiter) fn run(self) {
        for news in self.news {
            match news {
                News::Away(why, closed) => {
                    observe::redis_away(why.text(), closed, why.is_lasting());
                }
                News::Back(processes) => observe::redis_back(processes),
                News::Unshared => observe::unshared(),
            }
        }
        match self.task {
            Some(Task::Wake(waker)) => waker.wake(),
            Some(Task::Start(runtime, start)) => drop(runtime.spawn(start())),
            None => {}
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
