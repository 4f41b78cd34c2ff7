use std::time::Duration;

use crate::{
    header::{JobsReader, UsageReader},
    limiter::Permit,
    words::{Report, Tokens},
};

/// The permit of a request whose answer's body tells the limiter something: told at the body's end, be
/// it early. Then the permit is dropped.
pub(super) struct Watch {
    permit: Permit,
    reader: Reader,
}

/// What the body is read for.
pub(crate) enum Reader {
    /// What its request cost.
    Usage(UsageReader),
    /// Which jobs have ended.
    Jobs(JobsReader),
    /// Which job its request has created.
    Created(JobsReader),
}

impl Watch {
    pub(super) fn new(permit: Permit, reader: Reader) -> Self {
        Self { permit, reader }
    }

    /// How long the body may be silent and keep a slot; `None` if it keeps none.
    pub(super) fn max_silence(&self) -> Option<Duration> {
        self.permit.max_silence()
    }

    /// More of the body passes.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        match &mut self.reader {
            Reader::Usage(usage) => usage.read(bytes),
            Reader::Jobs(jobs) | Reader::Created(jobs) => jobs.read(bytes),
        }
    }
}

impl Drop for Watch {
    /// Of a body that ends early what is known counts; where that is nothing, the charge stands.
    fn drop(&mut self) {
        let report = match &self.reader {
            Reader::Usage(usage) => usage.found().map(Tokens::Used).map(Report::cost),
            Reader::Jobs(jobs) => Some(Report::ended(jobs.ended())),
            Reader::Created(jobs) => Some(Report::creation(jobs.creation())),
        };
        if let Some(report) = report {
            self.permit.report(&report);
        }
    }
}
