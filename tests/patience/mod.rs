//! The bound on waiting in real time.

use std::time::Duration;

/// The time after which a test that hangs fails. A wait that succeeds takes a hundredth of it, so a
/// machine ten times slower stays within it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
