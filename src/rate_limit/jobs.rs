//! The relation of a request to jobs.

use http::Request;

use crate::words::{Endpoint, JobKind, extension::AsksForJobs};

pub(super) struct JobRelation {
    /// Id of the job that the request is about, if any.
    pub(super) id: Option<Box<str>>,
    /// Whether the request was sent to check the states of the limiter's jobs.
    pub(super) asks: bool,
}

impl JobRelation {
    pub(super) fn of<B>(request: &mut Request<B>, endpoint: Endpoint) -> Option<Box<Self>> {
        let kind = JobKind::of(endpoint)?;
        let id = kind.named_in(request.uri().path());
        Some(Box::new(Self {
            id: id.map(Into::into),
            asks: request.extensions_mut().remove::<AsksForJobs>().is_some(),
        }))
    }
}
