//! The time that a call may take until its response begins, its wait in the queue and all its attempts included.
//!
//! The limit is outside of the layers. Inside, a call that exceeds it would count as interrupted and be retried: a long
//! response would be generated, and paid for, several times, and never arrive.

use std::time::Duration;

use http::HeaderMap;

/// The program's own timeout, as the SDKs of Together and OpenAI state it, or else [`PATIENCE`] after the call's turn.
/// In Python the timeout is the time until the next byte, which is the same until the first byte.
pub(crate) fn of(headers: &HeaderMap, max_wait: Duration) -> Duration {
    let unsaid = || max_wait.saturating_add(PATIENCE);
    said(headers).map_or_else(unsaid, |said| said.min(LONGEST))
}

/// The timeout that the program states; `None` if it states none, or an invalid one.
pub(crate) fn said(headers: &HeaderMap) -> Option<Duration> {
    NAMES.iter().find_map(|name| {
        let seconds = headers.get(*name)?.to_str().ok()?.trim().parse().ok()?;
        let wait = Duration::try_from_secs_f64(seconds).ok()?;
        (!wait.is_zero()).then_some(wait)
    })
}

const NAMES: [&str; 2] = ["x-stainless-timeout", "x-stainless-read-timeout"];
/// The SDKs' own default. A response that is not streamed begins only when it is complete, which takes minutes if it is
/// long.
const PATIENCE: Duration = Duration::from_secs(600);
/// The longest timeout that is accepted, so that no call holds a slot for ever.
const LONGEST: Duration = Duration::from_secs(3_600);
