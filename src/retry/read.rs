//! A response whose body must be read before the next step.

use std::time::Duration;

use bytes::Bytes;
use http::response;
use http_body::Body;
use tokio::time::Instant;

use crate::{
    body::{Bound, Peek},
    clock, wire,
    words::{ApiError, extension::Failure},
};

/// A failed response whose body is being read: first for its error, and then to its end if the request is to be
/// retried.
pub(super) struct Reading<R: Body> {
    pub(super) head: response::Parts,
    pub(super) body: Peek<R>,
    /// The wait that the server asks for.
    pub(super) wait: Option<Duration>,
    /// `None` for a success whose beginning is being read.
    pub(super) failure: Option<Failure>,
    pub(super) since: Instant,
    pub(super) drains: bool,
}

impl<R: Body<Data = Bytes>> Reading<R> {
    /// The failure of a success whose beginning is an error.
    pub(super) fn in_band(&mut self) -> Option<Failure> {
        let reader = self.body.take_reader()?;
        let head = &mut self.head;
        let since = self.since;
        let wait = || wire::response::wait(&head.headers, || clock::time_of_day_at(since));
        let error = reader.found(&head.headers, wait)?;
        let failure = Failure::Status(error.status());
        head.extensions.insert(error);
        self.failure = Some(failure);
        self.drains = false;
        Some(failure)
    }

    /// Updates the error in the response's extensions if more of it has been read.
    pub(super) fn name(&mut self, bound: Bound) {
        let bytes = self.body.bytes(bound.bytes);
        let known = self.head.extensions.get::<ApiError>();
        if known.is_none_or(|error| error.text().len() < bytes.len()) {
            let present = known.map(|error| error.0.present).unwrap_or_default();
            let error = ApiError::read(self.head.status, &self.head.headers, &bytes, self.wait);
            let error = error.past(present);
            self.head.extensions.insert(error);
        }
    }
}
