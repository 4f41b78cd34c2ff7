use std::time::Duration;

use crate::words::Span;

/// The bounds of one limiter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) max_wait: Option<Span>,
    pub(super) max_waiting: usize,
    pub(super) max_keys: usize,
    pub(super) max_lanes: usize,
    pub(super) shortest_retry: Duration,
    /// How long a response that is read may be silent and keep its slot.
    pub(super) max_silence: Duration,
    pub(super) learning: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_wait: None,
            // At about 150 bytes each beside the request itself, these take 15 MB.
            max_waiting: 100_000,
            // At under 500 bytes each, these take 50 MB.
            max_keys: 100_000,
            // A key uses fewer models at a time.
            max_lanes: 64,
            // The wait that a rejection states if none is known.
            shortest_retry: Duration::from_secs(1),
            // As long as OpenAI's SDKs wait for the next byte (github.com/openai/openai-python#timeouts).
            max_silence: Duration::from_secs(600),
            learning: true,
        }
    }
}
