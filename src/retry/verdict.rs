//! When to send again: the table of the [module](super), as code.

use http::{Extensions, HeaderMap, HeaderName, Method, StatusCode};

use crate::{
    wire::response::{Pushback, RESOURCE_EXHAUSTED, UNAVAILABLE, grpc_failure, pushback},
    words::{ApiError, Endpoint, Rejected, extension::Failure, extension::Retries, is_transient},
};

/// What a request does, as far as sending it again is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// Done twice, it is as if done once, or costs no more than an answer.
    Repeatable,
    /// It creates or changes something, and no idempotency key protects it.
    Once,
}

/// Whether to send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    No,
    Again(Pace),
}

/// How the wait before it is to be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// The server has had enough of this client.
    Throttled,
    /// Something failed.
    Failed,
    /// The server says exactly when (gRPC's pushback).
    Pushback(std::time::Duration),
}

impl Nature {
    /// The nature of a request, unless its caller says that it may be done twice.
    pub(super) fn wanted(retries: Retries, endpoint: Endpoint, method: &Method) -> Self {
        match retries.repeats() {
            true => Self::Repeatable,
            false => Self::of(endpoint, method),
        }
    }

    fn of(endpoint: Endpoint, method: &Method) -> Self {
        use Endpoint::{
            ClusterChange, Custom, DedicatedChange, DeploymentChange, ModelChange, Other,
            QueueClear, RlChange,
        };
        let once = match endpoint {
            // A rollback done twice goes back two revisions, and of what is not known nothing is
            // assumed but what HTTP says of its methods.
            Other | Custom(_) | ModelChange | DedicatedChange | DeploymentChange
            | ClusterChange | RlChange => !method.is_idempotent(),
            // What came into the queue since would go too.
            QueueClear => true,
            _ => endpoint.creates(),
        };
        if once { Self::Once } else { Self::Repeatable }
    }
}

/// How an answer failed; `None` if it did not, or is a refusal of our own limiter.
pub(super) fn failure(
    status: StatusCode,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Option<Failure> {
    if status.is_success() {
        if let Some(error) = extensions.get::<ApiError>() {
            return Some(Failure::Status(error.status()));
        }
        let ours = || extensions.get::<Rejected>().is_some();
        return grpc_failure(headers).filter(|_| !ours()).map(Failure::Grpc);
    }
    let failed = status.is_client_error() || status.is_server_error();
    let failed = failed && extensions.get::<Rejected>().is_none();
    failed.then_some(Failure::Status(status))
}

/// Whether to send again what was answered so; `too_many_jobs` if it was to create a job, and the server
/// says that it runs too many.
pub(super) fn verdict(
    nature: Nature,
    failure: Failure,
    headers: &HeaderMap,
    error: Option<&ApiError>,
    too_many_jobs: bool,
) -> Verdict {
    if let Failure::Grpc(status) = failure {
        return grpc_verdict(status, headers);
    }
    let said = headers.get(SHOULD_RETRY).map(|said| said.as_bytes());
    if said == Some(b"false") {
        return Verdict::No;
    }
    let states_it = match failure {
        Failure::Status(status) => matches!(status.as_u16(), 429 | 503),
        _ => true,
    };
    let is_certain = too_many_jobs || states_it && !may_be_done(failure, error);
    let may = nature == Nature::Repeatable || is_certain;
    let wanted = said == Some(b"true") || too_many_jobs || may_pass(failure, error);
    match failure {
        _ if !may || !wanted => Verdict::No,
        Failure::Status(StatusCode::TOO_MANY_REQUESTS) | Failure::Throttled => {
            Verdict::Again(Pace::Throttled)
        }
        _ => Verdict::Again(Pace::Failed),
    }
}

/// Whether the request that failed so may have been done all the same.
pub(super) fn may_be_done(failure: Failure, error: Option<&ApiError>) -> bool {
    match failure {
        Failure::NotSent => false,
        Failure::Status(status) => {
            let open = status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
            open && !error.is_some_and(ApiError::is_declined)
        }
        Failure::Interrupted | Failure::TimedOut | Failure::Throttled | Failure::Grpc(_) => true,
    }
}

fn may_pass(failure: Failure, error: Option<&ApiError>) -> bool {
    match failure {
        Failure::Status(status) => {
            error.map_or_else(|| is_transient(status), ApiError::is_transient)
        }
        Failure::NotSent | Failure::Interrupted | Failure::TimedOut | Failure::Throttled => true,
        Failure::Grpc(_) => false,
    }
}

fn grpc_verdict(status: u32, headers: &HeaderMap) -> Verdict {
    let pace = match status {
        RESOURCE_EXHAUSTED => Pace::Throttled,
        UNAVAILABLE => Pace::Failed,
        _ => return Verdict::No,
    };
    match pushback(headers) {
        Pushback::None => Verdict::Again(pace),
        Pushback::Wait(wait) => Verdict::Again(Pace::Pushback(wait)),
        Pushback::Never => Verdict::No,
    }
}

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
