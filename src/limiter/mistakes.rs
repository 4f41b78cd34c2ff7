//! Mistakes in the use of a limiter. Each is warned of once.

use std::sync::Arc;

use super::{lane::Lane, owners, rules::Rules};
use crate::{
    clock, observe,
    words::{Call, Endpoint, KeyId},
};

/// The mistakes that a limiter has seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The identity of this limiter.
    limiter: Arc<()>,
    with_key: bool,
    without_key: bool,
    /// The number of requests under no limit.
    unlimited: u32,
}

/// Mistakes found under the lock. They are logged once it is released, since a subscriber may use the
/// limiter.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    mixed: bool,
    another: bool,
    unlimited: Option<Endpoint>,
}

impl Seen {
    /// Looks at a lane that is new, or under another table.
    pub(super) fn lane(&mut self, lane: &Lane, key: KeyId, mistakes: &mut Mistakes) {
        if lane.limits.is_empty() {
            return;
        }
        let was_mixed = self.with_key && self.without_key;
        match key.is_anonymous() {
            true => self.without_key = true,
            false => self.with_key = true,
        }
        mistakes.mixed |= self.with_key && self.without_key && !was_mixed;
        // Limiters that share their limits through Redis may be many.
        mistakes.another |=
            lane.share.is_none() && owners::has_another(key, &self.limiter, clock::now());
    }

    /// Counts a request that passes without a limit.
    pub(super) fn unlimited(&mut self, call: &Call, rules: &Rules, mistakes: &mut Mistakes) {
        if self.unlimited < MANY && rules.overlooks(call.endpoint, call.model.as_deref()) {
            self.unlimited += 1;
            mistakes.unlimited = (self.unlimited == MANY).then_some(call.endpoint);
        }
    }

    /// Whether any request was under a limit.
    pub(super) fn limits(&self) -> bool {
        self.with_key || self.without_key
    }
}

impl Mistakes {
    pub(super) fn warn(&self) {
        if self.mixed {
            observe::mixed_keys();
        }
        if self.another {
            observe::another_limiter();
        }
        if let Some(endpoint) = self.unlimited {
            observe::unlimited(endpoint);
        }
    }
}

/// The number of requests that pass before a layer that limits nothing counts as a mistake.
pub(super) const MANY: u32 = 100;
