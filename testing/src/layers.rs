//! Layers whose instants are known.

use std::time::Duration;

use tower_together::{TogetherRetryLayer, retry::Budget};

/// A retry layer without jitter, so that the instants are known, and without an end of the budget.
pub fn exact() -> TogetherRetryLayer {
    TogetherRetryLayer::default()
        .with_jitter(Duration::ZERO)
        .with_budget(Budget::unlimited())
}
