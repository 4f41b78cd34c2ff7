use std::time::Duration;

use crate::{
    limiter::Permit,
    observe,
    wire::response::{InBandReader, JobsReader, UsageReader},
    words::{NotNow, Report, Tokens},
};

/// The permit of a request whose answer's body tells the limiter something: told at the body's end, be
/// it early. Then the permit is dropped.
pub(super) struct Watch {
    permit: Permit,
    readers: Readers,
}

/// What the body is read for.
#[derive(Default)]
pub(super) struct Readers {
    pub(super) told: Option<Reader>,
    /// An error in a success, which is reported as soon as it is read.
    pub(super) in_band: Option<InBandReader>,
}

/// What the body tells at its end.
pub(super) enum Reader {
    /// What its request cost.
    Usage(UsageReader),
    /// Which jobs have ended.
    Jobs(JobsReader),
    /// Which job its request has created.
    Created(JobsReader),
}

impl Readers {
    pub(super) fn are_none(&self) -> bool {
        self.told.is_none() && self.in_band.is_none()
    }
}

impl Watch {
    pub(super) fn new(permit: Permit, readers: Readers) -> Self {
        Self { permit, readers }
    }

    /// How long the body may be silent and keep a slot; `None` if it keeps none.
    pub(super) fn max_silence(&self) -> Option<Duration> {
        self.permit.max_silence()
    }

    /// More of the body passes. Returns whether more is to be read.
    pub(super) fn read(&mut self, bytes: &[u8]) -> bool {
        if let Some(in_band) = &mut self.readers.in_band {
            in_band.read(bytes);
            if in_band.is_over() {
                self.report_in_band();
            }
        }
        match &mut self.readers.told {
            Some(Reader::Usage(usage)) => usage.read(bytes),
            Some(Reader::Jobs(jobs) | Reader::Created(jobs)) => jobs.read(bytes),
            None => {}
        }
        !self.readers.are_none()
    }

    /// Reports an error in a success, if one was read.
    fn report_in_band(&mut self) {
        let in_band = self.readers.in_band.take();
        let Some((endpoint, mut report)) = in_band.and_then(|in_band| in_band.report()) else {
            return;
        };
        if !self.permit.counts_tokens() {
            report.tokens = None;
        }
        if let Some(NotNow::Throttled { .. }) = report.not_now {
            observe::throttled(endpoint);
        }
        self.permit.report(&report);
    }
}

impl Drop for Watch {
    /// Of a body that ends early what is known counts; where that is nothing, the charge stands.
    fn drop(&mut self) {
        self.report_in_band();
        let report = match self.readers.told.take() {
            Some(Reader::Usage(usage)) => usage.found().map(Tokens::Used).map(Report::cost),
            Some(Reader::Jobs(jobs)) => Some(Report::ended(jobs.ended())),
            Some(Reader::Created(jobs)) => Some(Report::creation(jobs.creation())),
            None => None,
        };
        if let Some(report) = report {
            self.permit.report(&report);
        }
    }
}
