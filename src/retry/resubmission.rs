use std::time::Duration;

use http::{Request, response};
use tokio::time::Instant;

use super::{
    hops::Hops,
    verdict::{Nature, may_be_done, verdict},
};
use crate::{
    clock, wire,
    words::{ApiError, Endpoint, extension::Failure, extension::Retries},
};

/// The retry layer's rules for one request, for a program that resubmits requests after the layers gave up.
///
/// The layer's retries, waits and budget are not part of these rules. Nor is
/// [`with_redirects`](super::TogetherRetryLayer::with_redirects): it counts as unknown whether the client follows
/// redirects.
///
/// ```
/// use http::Request;
/// use tower_together::{Endpoint, retry::Resubmission};
///
/// let request = Request::post("https://api.together.ai/v1/videos").body(())?;
/// let rules = Resubmission::of(&request, Endpoint::VideoCreate);
/// let broke = rules.after_error(&std::io::Error::other("the connection broke"));
/// assert!(broke.may_be_done() && !broke.may_resubmit());
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Resubmission {
    endpoint: Endpoint,
    nature: Nature,
    hops: Hops,
    deadline: Option<Instant>,
    once: bool,
}

/// The meaning of a failed attempt for its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aftermath {
    may_resubmit: bool,
    may_be_done: bool,
}

impl Resubmission {
    /// The rules for a request to `endpoint`. A [`Deadline::within`](crate::extension::Deadline::within) counts
    /// from now.
    pub fn of<B>(request: &Request<B>, endpoint: Endpoint) -> Self {
        let retries = request.extensions().get::<Retries>().copied();
        let retries = retries.unwrap_or_default();
        let nature = Nature::wanted(retries, endpoint, request.method());
        Self {
            endpoint,
            nature,
            hops: Hops::new(nature, request.uri(), None),
            deadline: wire::request::deadline(
                request.extensions(),
                request.headers(),
                clock::now(),
            ),
            once: retries.limit() == Some(0),
        }
    }

    /// The caller's deadline: from a [`Deadline`](crate::extension::Deadline), or from a timeout in the headers.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether an attempt after `wait` is before the deadline.
    pub fn is_in_time(&self, wait: Duration) -> bool {
        let at = clock::now().checked_add(wait);
        self.deadline
            .is_none_or(|deadline| at.is_some_and(|at| at < deadline))
    }

    /// The meaning of a response with an error. A rejection by the limiter itself has no [`ApiError`] to which these
    /// rules apply.
    pub fn after_response(&self, head: &response::Parts, error: &ApiError) -> Aftermath {
        if self.hops.is_another(&head.extensions) {
            return Aftermath {
                may_resubmit: false,
                may_be_done: true,
            };
        }
        let failure = Failure::Status(error.status());
        let too_many = self.endpoint.creates() && error.is_too_many_jobs();
        let verdict = verdict(self.nature, failure, &head.headers, Some(error), too_many);
        Aftermath {
            may_resubmit: verdict.is_ok() && !self.once,
            may_be_done: may_be_done(failure, Some(error)),
        }
    }

    /// The meaning of the client's error.
    pub fn after_error<E: 'static>(&self, error: &E) -> Aftermath {
        let Ok(failure) = self.hops.failure(error) else {
            return Aftermath {
                may_resubmit: false,
                may_be_done: false,
            };
        };
        let none = http::HeaderMap::new();
        let verdict = verdict(self.nature, failure, &none, None, false);
        Aftermath {
            may_resubmit: verdict.is_ok() && !self.once,
            may_be_done: may_be_done(failure, None),
        }
    }
}

impl Aftermath {
    /// Whether the same request may be sent again and may then succeed.
    pub fn may_resubmit(self) -> bool {
        self.may_resubmit
    }

    /// Whether the server may have executed the request.
    pub fn may_be_done(self) -> bool {
        self.may_be_done
    }
}
