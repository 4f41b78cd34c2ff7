//! Every tracing event of the crate. Without the feature `tracing` each function does nothing.

use std::time::Duration;

use crate::words::{
    Endpoint, Rejected,
    extension::{Failure, PassedOver},
};

/// The limiter itself rejected a request.
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

/// The server responded with 429.
pub(crate) fn throttled(endpoint: Endpoint) {
    #[cfg(feature = "tracing")]
    tracing::warn!(endpoint = endpoint.name(), "the server answered 429");
    let _ = endpoint;
}

/// The server rejected the creation of a job, since too many run.
pub(crate) fn crowded(endpoint: Endpoint) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        endpoint = endpoint.name(),
        "the server runs too many jobs: the next waits for one to end"
    );
    let _ = endpoint;
}

/// One limiter sees requests with a key and requests without one.
pub(crate) fn mixed_keys() {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        "one limiter sees requests with an API key and requests without: if they are of one key, they may \
         send twice its limit; name it in each (Call::of, Call::with_key, extension::ApiKey)"
    );
}

/// More than one limiter limits one key.
pub(crate) fn another_limiter() {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        "more than one limiter is in use for one API key, and each allows its whole limit: make one layer, \
         or one Limiter, and clone it"
    );
}

/// A hundred requests were under no limit.
pub(crate) fn unlimited(endpoint: Endpoint) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        endpoint = endpoint.name(),
        "100 requests passed to which no limit applies: the table of limits has no line for them, or their \
         routes are unknown (Limits::requests, Classify::with_prefix, Classify::with)"
    );
    let _ = endpoint;
}

/// A hundred requests passed through, and none was limited.
pub(crate) fn left_alone() {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        "100 requests passed to which no limit applies: the layer's Classify leaves all of them alone"
    );
}

/// A retry layer stands beneath a rate limit layer.
pub(crate) fn beneath_limiter() {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        "a TogetherRetryLayer stands beneath a TogetherRateLimitLayer, so that retries are sent without \
         waiting for their turn: put the retry layer outside (TogetherLayer does)"
    );
}

/// A retry layer is around the routes of a server.
pub(crate) fn around_server() {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        "a TogetherRetryLayer is around a server's own routes, and runs their handlers again when they fail: put \
         the layer around the client that the handlers use (a TogetherRateLimitLayer alone limits the callers)"
    );
}

/// A request waits for a job to end.
pub(crate) fn awaits_job(endpoint: Endpoint, is_watched: bool) {
    #[cfg(feature = "tracing")]
    if is_watched {
        tracing::info!(endpoint = endpoint.name(), "waits for a job to end");
    } else {
        tracing::info!(
            endpoint = endpoint.name(),
            "waits for a job to end, and jobs are not watched (Limiter::watch_jobs)"
        );
    }
    let _ = (endpoint, is_watched);
}

/// The state of jobs could not be read. It is requested again later.
pub(crate) fn jobs_unread(why: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(why, "could not read which jobs run");
    let _ = why;
}

/// A request is retried after a wait.
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

/// A request is not retried, since it would fail each time.
pub(crate) fn lasting(endpoint: Endpoint, why: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::error!(endpoint = endpoint.name(), why, "not sent again");
    let _ = (endpoint, why);
}

/// A request ends with its client's error, after `attempts` attempts.
pub(crate) fn failed(endpoint: Endpoint, failure: Failure, attempts: u32) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        endpoint = endpoint.name(),
        failure = %failure,
        attempts,
        "the client's error is returned"
    );
    let _ = (endpoint, failure, attempts);
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

/// A request is not retried, since the retry budget is spent, though its failure was transient.
pub(crate) fn budget_spent(endpoint: Endpoint, failure: Failure) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        endpoint = endpoint.name(),
        failure = %failure,
        "not sent again: the retry budget is spent"
    );
    let _ = (endpoint, failure);
}
