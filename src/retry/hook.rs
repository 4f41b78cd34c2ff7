use std::{any::Any, fmt, sync::Arc, time::Duration};

use http::{Extensions, HeaderMap};

use crate::words::{ApiError, Endpoint, extension::Failure};

/// A failed attempt, as a [hook](super::TogetherRetryLayer::with_hook) sees it.
pub struct Failed<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) failure: Failure,
    pub(super) attempts: u32,
    pub(super) wait: Option<Duration>,
    pub(super) request: &'a Extensions,
    /// Headers of the response, if there is one.
    pub(super) headers: Option<&'a HeaderMap>,
    pub(super) api_error: Option<&'a ApiError>,
    pub(super) error: Option<&'a dyn Any>,
}

/// A [hook](super::TogetherRetryLayer::with_hook)'s decision about a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Decision {
    /// The layer does what it would do without a hook.
    AsPlanned,
    /// The request is not retried.
    Reject,
    /// The request is retried, whatever the failure is. The number of retries, the deadline, the budget and the
    /// replay buffer still bound this retry. Ignored for a request that creates something, unless
    /// [`Retries::may_repeat`](crate::extension::Retries::may_repeat) allows to repeat it.
    Retry,
}

impl<'a> Failed<'a> {
    /// The request's endpoint.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// How the attempt failed.
    pub fn failure(&self) -> Failure {
        self.failure
    }

    /// Number of times the request was sent so far, this attempt included.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The wait before the planned retry; `None` if none is planned. A request that waits in its paused lane is
    /// retried without a wait.
    pub fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// The extensions of the request, by which the program can identify it.
    pub fn request(&self) -> &'a Extensions {
        self.request
    }

    /// The headers of the response, if there was one.
    pub fn headers(&self) -> Option<&'a HeaderMap> {
        self.headers
    }

    /// The API's error, if the response is one.
    pub fn api_error(&self) -> Option<&'a ApiError> {
        self.api_error
    }

    /// The client's error, if it is of this type.
    pub fn error<E: 'static>(&self) -> Option<&'a E> {
        self.error?.downcast_ref()
    }
}

impl fmt::Debug for Failed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failed")
            .field("endpoint", &self.endpoint)
            .field("failure", &self.failure)
            .field("attempts", &self.attempts)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

/// The hook to call for each failed attempt.
#[derive(Clone)]
pub(super) struct Hook(Arc<dyn Fn(&Failed<'_>) -> Decision + Send + Sync>);

impl Hook {
    pub(super) fn new(decide: impl Fn(&Failed<'_>) -> Decision + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    pub(super) fn ask(&self, failed: &Failed<'_>) -> Decision {
        (self.0)(failed)
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
