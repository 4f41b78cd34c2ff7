//! Events of limits that processes share.

#[cfg(feature = "tracing")]
use super::LIMITER;

/// Redis, through which processes share their limits, does not reply.
pub(crate) fn redis_away(reason: &'static str, closed: bool, is_lasting: bool) {
    #[cfg(feature = "tracing")]
    match (is_lasting, closed) {
        (true, _) => {
            tracing::error!(target: LIMITER, reason, "limits are not shared: this does not end by itself");
        }
        (false, true) => {
            tracing::warn!(target: LIMITER, reason, "Redis is away: requests are rejected until it replies");
        }
        (false, false) => {
            tracing::warn!(
                target: LIMITER,
                reason,
                "Redis is away: this process sends its part of the limits until it replies"
            );
        }
    }
    let _ = (reason, closed, is_lasting);
}

/// Redis replies again.
pub(crate) fn redis_back(processes: u64) {
    #[cfg(feature = "tracing")]
    tracing::info!(target: LIMITER, processes, "Redis is back: the limits are shared");
    let _ = processes;
}

/// The table has limits that processes do not share.
pub(crate) fn unshared() {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: LIMITER,
        "limits on requests in flight and on jobs are not shared: each process has them for itself"
    );
}
