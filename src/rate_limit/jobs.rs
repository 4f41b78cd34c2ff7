//! What a request has to do with jobs.

use http::Request;

use crate::words::{Endpoint, JobKind, extension::AsksForJobs};

pub(super) struct Job {
    /// The one it is about, if it is one.
    pub(super) id: Option<Box<str>>,
    /// Whether its caller looks after the limiter's jobs.
    pub(super) asks: bool,
}

impl Job {
    pub(super) fn of<B>(request: &mut Request<B>, endpoint: Endpoint) -> Option<Box<Self>> {
        let kind = JobKind::of(endpoint)?;
        let id = kind.named_in(request.uri().path());
        Some(Box::new(Self {
            id: id.map(Into::into),
            asks: request.extensions_mut().remove::<AsksForJobs>().is_some(),
        }))
    }
}
