//! Layers whose instants are predictable.

use std::time::Duration;

use tower_together::{TogetherRetryLayer, retry::Budget};

/// A retry layer without jitter, so that its instants are predictable, and with an unlimited budget.
pub fn exact() -> TogetherRetryLayer {
    TogetherRetryLayer::default()
        .with_jitter(Duration::ZERO)
        .with_budget(Budget::unlimited())
}
