//! Files, and the jobs that are made of them: fine-tunes and batches.

mod batch;
mod files;
mod fine_tune;
mod hints;
mod job;
mod upload;
mod world;

use std::{iter, time::Duration};

pub(crate) use self::{
    batch::Line,
    upload::Upload,
    world::{Asked, World},
};

/// What jobs do, and how many there may be.
///
/// ```
/// use std::time::Duration;
/// use together_standin::{Fate, Jobs};
///
/// // Three fine-tunes at a time, a second each; every second one fails.
/// let jobs = Jobs::default()
///     .fine_tunes(3)
///     .fine_tune_time(Duration::from_secs(1))
///     .fates([Fate::Completes, Fate::Fails]);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Jobs {
    pub(crate) caps: [Option<usize>; 2],
    pub(crate) times: [Duration; 2],
    pub(crate) page: usize,
    pub(crate) fates: Vec<Fate>,
    /// Before a create takes effect, and from then to its response.
    pub(crate) delays: [Duration; 2],
}

/// What kind of job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// `POST /fine-tunes`
    FineTune,
    /// `POST /batches`
    Batch,
}

/// What becomes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It does all it was to do.
    Completes,
    /// A fine-tune ends half way with `error`, a batch with `FAILED`.
    Fails,
    /// A fine-tune ends half way with `user_error`, a batch with `FAILED`.
    UserError,
    /// The server cancels it half way.
    Cancelled,
    /// A fine-tune ends half way with `error`, and begins again under another id. A batch completes.
    Restarts,
    /// Half way it is in no list any more, and nowhere to be found.
    Vanishes,
    /// A batch is `EXPIRED` at its end, with half of its lines answered. A fine-tune fails.
    Expires,
    /// A batch completes, and every other line has failed. A fine-tune completes.
    HalfFails,
}

/// One job, as [`StandIn::jobs`](crate::StandIn::jobs) tells it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobReport {
    /// Its id.
    pub id: String,
    /// What it is.
    pub kind: JobKind,
    /// Of a fine-tune, what its create said of that.
    pub suffix: Option<String>,
    /// Its status, as the API writes it.
    pub status: &'static str,
    /// Whether the server began it of itself.
    pub restarted: bool,
}

impl Jobs {
    /// At most so many fine-tunes at a time for each key; one more is answered 409. Default: any number.
    pub fn fine_tunes(mut self, most: usize) -> Self {
        self.caps[JobKind::FineTune as usize] = Some(most);
        self
    }

    /// The same of batches.
    pub fn batches(mut self, most: usize) -> Self {
        self.caps[JobKind::Batch as usize] = Some(most);
        self
    }

    /// How long a fine-tune runs that completes. Default: an hour.
    pub fn fine_tune_time(mut self, time: Duration) -> Self {
        self.times[JobKind::FineTune as usize] = time;
        self
    }

    /// The same of a batch. Default: 10 minutes.
    pub fn batch_time(mut self, time: Duration) -> Self {
        self.times[JobKind::Batch as usize] = time;
        self
    }

    /// Lists have so many to a page; the next is `?after=ID`, and there is one if it is said
    /// `"has_more": true`, which the bare array of batches cannot. Default: all in one.
    ///
    /// # Panics
    /// If it is 0.
    pub fn page(mut self, jobs: usize) -> Self {
        assert!(jobs > 0, "a page of nothing has no end: write 1 or more");
        self.page = jobs;
        self
    }

    /// What becomes of jobs, in the order they are created, round and round. Default: all complete.
    ///
    /// # Panics
    /// If there is none.
    pub fn fates(mut self, fates: impl IntoIterator<Item = Fate>) -> Self {
        self.fates = fates.into_iter().collect();
        assert!(
            !self.fates.is_empty(),
            "a job needs a fate: name at least one"
        );
        self
    }

    /// Sets the time from a create's arrival to its effect, and from there to its response. The job
    /// is created even if the caller has gone away by then, and takes its slot from the arrival.
    /// Default: zero, and the server's latency.
    pub fn create_delays(mut self, before: Duration, after: Duration) -> Self {
        self.delays = [before, after];
        self
    }

    pub(crate) fn fate(&self, number: usize) -> Fate {
        self.fates[number % self.fates.len()]
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            caps: [None; 2],
            times: [Duration::from_secs(3_600), Duration::from_secs(600)],
            page: usize::MAX,
            fates: iter::once(Fate::Completes).collect(),
            delays: [Duration::ZERO; 2],
        }
    }
}
