//! How long a call may take until its answer begins: its place in line and all its attempts included.
//!
//! The limit is outside of the layers. Inside, a call that takes too long would count as interrupted
//! and be sent again: a long answer would be made, and paid for, several times, and never arrive.

use std::time::Duration;

use http::HeaderMap;

/// What the program itself will wait, as the SDKs of Together and OpenAI say (in Python of the time
/// until the next byte, which is the same until the first one), or else [`PATIENCE`] after its turn.
pub(crate) fn of(headers: &HeaderMap, max_wait: Duration) -> Duration {
    let unsaid = || max_wait.saturating_add(PATIENCE);
    said(headers).map_or_else(unsaid, |said| said.min(LONGEST))
}

/// `None` if the program says nothing, or nothing that makes sense.
pub(crate) fn said(headers: &HeaderMap) -> Option<Duration> {
    NAMES.iter().find_map(|name| {
        let seconds = headers.get(*name)?.to_str().ok()?.trim().parse().ok()?;
        let wait = Duration::try_from_secs_f64(seconds).ok()?;
        (!wait.is_zero()).then_some(wait)
    })
}

const NAMES: [&str; 2] = ["x-stainless-timeout", "x-stainless-read-timeout"];
/// The SDKs' own: an answer that is not streamed begins when it is complete, of a long one after
/// minutes.
const PATIENCE: Duration = Duration::from_secs(600);
/// Whatever a program says, its call does not hold a slot for ever.
const LONGEST: Duration = Duration::from_secs(3_600);
