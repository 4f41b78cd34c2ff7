//! Every tracing event of the crate. Without the feature `tracing` each is nothing.

use crate::words::{Endpoint, Rejected};

/// The limiter itself refused a request.
pub(crate) fn refused(rejected: &Rejected) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        endpoint = rejected.endpoint().name(),
        reason = rejected.reason().name(),
        retry_after_ms = rejected.retry_after().map(|wait| wait.as_millis() as u64),
        "request refused by the local rate limit"
    );
    let _ = rejected;
}

/// The server answered 429.
pub(crate) fn throttled(endpoint: Endpoint) {
    #[cfg(feature = "tracing")]
    tracing::warn!(endpoint = endpoint.name(), "the server answered 429");
    let _ = endpoint;
}
