//! What requests and answers say of jobs.

use http::{
    Request, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
    response::Parts,
};

use crate::{
    header::{self, JobsReader},
    limiter::Permit,
    observe,
    words::{ApiError, Endpoint, JobKind, extension::AsksForJobs},
};

/// What a request has to do with jobs.
pub(super) struct Job {
    endpoint: Endpoint,
    /// The one it is about, if it is one.
    id: Option<Box<str>>,
    /// Whether its caller looks after the limiter's jobs.
    asks: bool,
}

impl Job {
    pub(super) fn of<B>(request: &mut Request<B>, endpoint: Endpoint) -> Option<Box<Self>> {
        let kind = JobKind::of(endpoint)?;
        let id = kind.named_in(request.uri().path());
        Some(Box::new(Self {
            endpoint,
            id: id.map(Into::into),
            asks: request.extensions_mut().remove::<AsksForJobs>().is_some(),
        }))
    }

    /// Whether it is to be known at once which job was created: its caller need not read the answer.
    pub(super) fn creates(&self, head: &Parts, permit: &Permit) -> bool {
        self.endpoint.creates() && head.status.is_success() && permit.holds_job_slot()
    }

    /// Keeps the slot of the job that this answer says was created.
    pub(super) fn created(&self, body: &[u8], permit: &mut Permit) {
        let listed = header::jobs(body).unwrap_or_default();
        if let Some(job) = listed.jobs.first().filter(|job| !job.ended) {
            permit.hold_for_job(&job.id);
        }
    }

    /// What the head of an answer says. An error's body has been read.
    pub(super) fn answered(&self, head: &mut Parts, permit: &Permit) {
        let error = head.extensions.get::<ApiError>();
        let over = match (self.endpoint, head.status) {
            (Endpoint::FineTuneDelete, status) => {
                status.is_success() || status == StatusCode::NOT_FOUND
            }
            (_, StatusCode::NOT_FOUND) => true,
            (Endpoint::FineTuneCancel | Endpoint::BatchCancel, _) => {
                // "Cannot cancel job - already in terminal state: CANCELLED", with a 409.
                error.is_some_and(|error| error.message().contains("terminal state"))
            }
            _ => false,
        };
        if let Some(id) = self.id.as_deref().filter(|_| over) {
            permit.job_ended(id);
        }
        if let Some(book) = permit.job_book().filter(|_| self.asks) {
            head.extensions.insert(book);
        }
    }

    /// What reads the jobs in an answer's body, where one of them may be one that holds a slot.
    pub(super) fn reader(&self, head: &Parts, permit: &Permit) -> Option<JobsReader> {
        let value = |name| Some(head.headers.get(name)?.as_bytes());
        let reads = !self.endpoint.creates() && permit.knows_jobs();
        reads.then(|| JobsReader::new(value(CONTENT_TYPE), value(CONTENT_ENCODING)))?
    }
}

/// Tells the limiter if the server refused to create a job, since it runs too many: then the next is
/// created when one of those has ended. Returns whether it did.
pub(super) fn note_crowd(error: Option<&ApiError>, endpoint: Endpoint, permit: &Permit) -> bool {
    let crowded = permit.holds_job_slot() && error.is_some_and(ApiError::is_too_many_jobs);
    if crowded {
        observe::crowded(endpoint);
        permit.crowded();
    }
    crowded
}
