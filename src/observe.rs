//! Every tracing event of the crate. Without the feature `tracing` each is nothing.

use std::time::Duration;

use crate::words::{
    Endpoint, Rejected,
    extension::{Failure, PassedOver},
};

/// The limiter itself refused a request.
pub(crate) fn refused(rejected: &Rejected) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        endpoint = rejected.endpoint().name(),
        reason = rejected.reason().name(),
        retry_after_ms = rejected.retry_after().map(|wait| wait.as_millis() as u64),
        "request refused locally"
    );
    let _ = rejected;
}

/// The server answered 429.
pub(crate) fn throttled(endpoint: Endpoint) {
    #[cfg(feature = "tracing")]
    tracing::warn!(endpoint = endpoint.name(), "the server answered 429");
    let _ = endpoint;
}

/// The server refused to create a job, since it runs too many.
pub(crate) fn crowded(endpoint: Endpoint) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        endpoint = endpoint.name(),
        "the server runs too many jobs: the next waits for one to end"
    );
    let _ = endpoint;
}

/// A request waits for a job to end.
pub(crate) fn awaits_job(endpoint: Endpoint) {
    #[cfg(feature = "tracing")]
    tracing::info!(
        endpoint = endpoint.name(),
        "waits for a job to end; is somebody watching them? (Limiter::watch_jobs)"
    );
    let _ = endpoint;
}

/// What became of jobs could not be read; it is asked again later.
pub(crate) fn jobs_unread(why: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(why, "could not read which jobs run");
    let _ = why;
}

/// A request is sent again, after a wait.
pub(crate) fn retrying(endpoint: Endpoint, failure: Failure, retry: u32, wait: Duration) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        endpoint = endpoint.name(),
        failure = %failure,
        retry,
        wait_ms = wait.as_millis() as u64,
        "sending again"
    );
    let _ = (endpoint, failure, retry, wait);
}

/// A request is not sent again, since it would fail each time.
pub(crate) fn lasting(endpoint: Endpoint, why: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::error!(endpoint = endpoint.name(), why, "not sent again");
    let _ = (endpoint, why);
}

/// A request goes to the next model of its chain.
pub(crate) fn fell_back(endpoint: Endpoint, why: PassedOver) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        endpoint = endpoint.name(),
        why = %why,
        "sent to the next model"
    );
    let _ = (endpoint, why);
}

/// A request is not sent again, though it failed for a passing reason.
pub(crate) fn budget_spent(endpoint: Endpoint, failure: Failure) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        endpoint = endpoint.name(),
        failure = %failure,
        "not sent again: the retry budget is spent"
    );
    let _ = (endpoint, failure);
}
