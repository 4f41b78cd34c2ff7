use std::time::Duration;

use crate::{
    limiter::Permit,
    wire::response::{InBandReader, JobsReader, UsageReader},
    words::{Report, Tokens},
};

/// Reads a response's body for the limiter, and reports when the body ends or is dropped. Then the permit is
/// dropped.
pub(super) struct BodyReader {
    permit: Permit,
    readers: Readers,
}

/// The body's readers.
#[derive(Default)]
pub(super) struct Readers {
    pub(super) at_end: Option<Reader>,
    /// Reads an error in a success, which is reported at once.
    pub(super) in_band: Option<InBandReader>,
}

/// Reads what is reported at the body's end.
pub(super) enum Reader {
    /// The cost of the request.
    Usage(UsageReader),
    /// The jobs that have ended.
    Jobs(JobsReader),
    /// The job that the request has created.
    Created(JobsReader),
}

impl Readers {
    pub(super) fn are_none(&self) -> bool {
        self.at_end.is_none() && self.in_band.is_none()
    }
}

impl BodyReader {
    pub(super) fn new(permit: Permit, readers: Readers) -> Self {
        Self { permit, readers }
    }

    /// How long the body may be silent and keep a slot; `None` if it keeps none.
    pub(super) fn max_silence(&self) -> Option<Duration> {
        self.permit.max_silence()
    }

    /// Reads the next bytes of the body. Returns whether more is to be read.
    pub(super) fn read(&mut self, bytes: &[u8]) -> bool {
        if let Some(in_band) = &mut self.readers.in_band {
            in_band.read(bytes);
            if in_band.is_over() {
                self.report_in_band();
            }
        }
        match &mut self.readers.at_end {
            Some(Reader::Usage(usage)) => usage.read(bytes),
            Some(Reader::Jobs(jobs) | Reader::Created(jobs)) => jobs.read(bytes),
            None => {}
        }
        !self.readers.are_none()
    }

    /// Reports an error in a success, if there is one.
    fn report_in_band(&mut self) {
        let in_band = self.readers.in_band.take();
        let Some((_, mut report)) = in_band.and_then(|in_band| in_band.report()) else {
            return;
        };
        if !self.permit.counts_tokens() {
            report.tokens = None;
        }
        self.permit.report(&report);
    }
}

impl Drop for BodyReader {
    /// A truncated body counts as far as it was read. If it has no usage by then, the charge stands.
    fn drop(&mut self) {
        self.report_in_band();
        let report = match self.readers.at_end.take() {
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
