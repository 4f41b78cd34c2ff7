//! The table of the [module](super), as code.

use http::{Extensions, HeaderMap, HeaderName, Method, StatusCode};

use crate::{
    wire::response::{Pushback, RESOURCE_EXHAUSTED, UNAVAILABLE, grpc_failure, pushback},
    words::{
        ApiError, Endpoint, NotRetried, Rejected, extension::Failure, extension::Retries,
        is_transient,
    },
};

/// Whether a request may be executed twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// A second execution changes nothing, or costs no more than a response.
    Repeatable,
    /// The request creates or changes something, and no idempotency key protects it.
    Once,
}

/// How the wait before a retry is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// The client has exceeded its limits.
    Throttled,
    /// The request failed for another reason.
    Failed,
    /// The server gives the exact wait (gRPC's pushback).
    Pushback(std::time::Duration),
}

impl Nature {
    /// The nature of a request, unless its caller allows to repeat it.
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
            // A rollback executed twice goes back two revisions. For unknown routes, only HTTP's rules for
            // their method apply.
            Other | Custom(_) | ModelChange | DedicatedChange | DeploymentChange
            | ClusterChange | RlChange => !method.is_idempotent(),
            // A second execution would also remove requests queued since.
            QueueClear => true,
            _ => endpoint.creates(),
        };
        if once { Self::Once } else { Self::Repeatable }
    }
}

/// The failure in a response; `None` for a success, and for a rejection by the limiter.
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

/// The basis of the wait before a failed attempt's retry, or the reason why there is none. `too_many_jobs`: the request was to create
/// a job, and the server says that too many run.
pub(super) fn verdict(
    nature: Nature,
    failure: Failure,
    headers: &HeaderMap,
    error: Option<&ApiError>,
    too_many_jobs: bool,
) -> Result<Basis, NotRetried> {
    if let Failure::Grpc(status) = failure {
        return grpc_verdict(status, headers);
    }
    let said = headers.get(SHOULD_RETRY).map(|said| said.as_bytes());
    if said == Some(b"false") {
        return Err(NotRetried::Final);
    }
    let states_it = match failure {
        Failure::Status(status) => matches!(status.as_u16(), 429 | 503),
        _ => true,
    };
    let is_certain = too_many_jobs || states_it && !may_be_done(failure, error);
    let may = nature == Nature::Repeatable || is_certain;
    let wanted = said == Some(b"true") || too_many_jobs || may_pass(failure, error);
    match failure {
        _ if !wanted => Err(NotRetried::Final),
        _ if !may => Err(NotRetried::MayBeDone),
        Failure::Status(StatusCode::TOO_MANY_REQUESTS) | Failure::Throttled => Ok(Basis::Throttled),
        _ => Ok(Basis::Failed),
    }
}

/// Whether the failed request may still have been executed.
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

fn grpc_verdict(status: u32, headers: &HeaderMap) -> Result<Basis, NotRetried> {
    let basis = match status {
        RESOURCE_EXHAUSTED => Basis::Throttled,
        UNAVAILABLE => Basis::Failed,
        _ => return Err(NotRetried::Final),
    };
    match pushback(headers) {
        Pushback::None => Ok(basis),
        Pushback::Wait(wait) => Ok(Basis::Pushback(wait)),
        Pushback::Never => Err(NotRetried::Final),
    }
}

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
