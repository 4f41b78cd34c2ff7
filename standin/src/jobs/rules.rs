//! The course of jobs, and their limits.

use std::{iter, time::Duration};

use super::kinds::{Fate, JobKind};

/// The course of jobs, and how many may run at once.
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

impl Jobs {
    /// The number of fine-tunes at a time for each key; one more gets a 409. Default: any number.
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

    /// Sets the ends of jobs, in the order of their creation; after the last comes the first again.
    /// Default: all complete.
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
