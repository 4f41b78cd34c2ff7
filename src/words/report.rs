use std::{sync::Arc, time::Duration};

use super::{Each, NamedLimit, Unit, Usage};

/// Everything that a response tells the limiter, for [`Permit::report`](crate::limiter::Permit::report).
///
/// It is plain data, read from a response by [`Report::read`]. The default reports nothing. A response's head
/// and its body may be reported one after the other, each once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub(crate) not_now: Option<NotNow>,
    /// The server's limits, and how much of them remains.
    pub(crate) limits: Each<NamedLimit>,
    /// The cost of the request, if the response states it.
    pub(crate) tokens: Option<Tokens>,
    pub(crate) jobs: JobNews,
    /// Whether the server failed, or did not respond.
    pub(crate) failed: bool,
}

/// The server asks to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotNow {
    /// This client sent too much: a 429.
    Throttled { wait: Option<Duration>, of: Unit },
    /// The platform is overloaded: a 503 with a wait.
    Overloaded { wait: Duration },
}

/// The cost of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tokens {
    Exactly(u64),
    /// The usage that the response states, which also tells how long responses are.
    Used(Usage),
}

/// The news of jobs in a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JobNews {
    /// The server runs too many jobs to create another.
    pub(crate) rejected: bool,
    /// The id of the job that the request created.
    pub(crate) created: Option<Arc<str>>,
    /// Whether the request created a job, as far as is known, that the response does not name.
    pub(crate) unnamed: bool,
    /// Whether the job that the request names has ended.
    pub(crate) over: bool,
    /// The ids of jobs that have ended.
    pub(crate) ended: Vec<Arc<str>>,
}

impl Report {
    /// Names the job of the request, such as `ft-1` in `GET /v1/fine-tunes/ft-1`. The response itself may not
    /// name it: a 404 says only that the job is gone.
    #[must_use]
    pub fn about_job(mut self, id: &str) -> Self {
        if self.jobs.over {
            self.jobs.ended.push(id.into());
        }
        self
    }

    /// Counts waits from the response's head, which came `late` ago. The body was read since.
    #[must_use]
    pub fn read_after(mut self, late: Duration) -> Self {
        match &mut self.not_now {
            Some(NotNow::Throttled { wait, .. }) => {
                *wait = wait.map(|wait| wait.saturating_sub(late));
            }
            Some(NotNow::Overloaded { wait }) => *wait = wait.saturating_sub(late),
            None => {}
        }
        self
    }

    /// Whether it is a 429.
    pub(crate) fn is_throttled(&self) -> bool {
        matches!(self.not_now, Some(NotNow::Throttled { .. }))
    }

    /// The wait that the server asks for.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self.not_now? {
            NotNow::Throttled { wait, .. } => wait,
            NotNow::Overloaded { wait } => Some(wait),
        }
    }

    pub(crate) fn failed() -> Self {
        Self {
            failed: true,
            ..Self::default()
        }
    }

    pub(crate) fn throttled(wait: Option<Duration>, of: Unit) -> Self {
        Self::not_now(NotNow::Throttled { wait, of })
    }

    pub(crate) fn overloaded(wait: Duration) -> Self {
        Self::not_now(NotNow::Overloaded { wait })
    }

    fn not_now(not_now: NotNow) -> Self {
        Self {
            not_now: Some(not_now),
            ..Self::default()
        }
    }

    /// The server allows `per_second` requests or tokens a second.
    pub(crate) fn limit(unit: Unit, per_second: f64) -> Self {
        let mut report = Self::default();
        report.limits[unit].limit = Some(per_second);
        report
    }

    pub(crate) fn cost(tokens: Tokens) -> Self {
        Self {
            tokens: Some(tokens),
            ..Self::default()
        }
    }

    pub(crate) fn created(job: &str) -> Self {
        let mut report = Self::default();
        report.jobs.created = Some(job.into());
        report
    }

    pub(crate) fn ended(jobs: Vec<Arc<str>>) -> Self {
        let mut report = Self::default();
        report.jobs.ended = jobs;
        report
    }
}
