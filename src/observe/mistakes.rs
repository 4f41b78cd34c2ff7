//! Warnings of mistakes that nothing else shows.

#[cfg(feature = "tracing")]
use super::{LIMITER, RETRY};
use crate::words::Endpoint;

/// One limiter sees requests with a key and requests without one.
pub(crate) fn mixed_keys() {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: LIMITER,
        "one limiter sees requests with an API key and requests without: if they are of one key, they may \
         send twice its limit; name it in each (Call::of, Call::with_key, extension::ApiKey)"
    );
}

/// More than one limiter limits one key.
pub(crate) fn another_limiter() {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: LIMITER,
        "more than one limiter is in use for one API key, and each allows its whole limit: make one layer, \
         or one Limiter, and clone it"
    );
}

/// A hundred requests were under no limit.
pub(crate) fn unlimited(endpoint: Endpoint) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: LIMITER,
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
        target: LIMITER,
        "100 requests passed to which no limit applies: the layer's Classify leaves all of them alone"
    );
}

/// A retry layer stands beneath a rate limit layer.
pub(crate) fn beneath_limiter() {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: RETRY,
        "a TogetherRetryLayer stands beneath a TogetherRateLimitLayer, so that retries are sent without \
         waiting for their turn: put the retry layer outside (TogetherLayer does)"
    );
}

/// A retry layer is around the routes of a server.
pub(crate) fn around_server() {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: RETRY,
        "a TogetherRetryLayer is around a server's own routes, and runs their handlers again when they fail: put \
         the layer around the client that the handlers use (a TogetherRateLimitLayer alone limits the callers)"
    );
}
