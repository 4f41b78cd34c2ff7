//! Waiting in real time for a condition.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Polls until `holds` is true, and fails after [`PATIENCE`].
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(PAUSE).await;
        }
    };
    let waited = timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "not within {PATIENCE:?}: {what}");
}

/// The time after which a test that hangs fails. A wait that succeeds takes a hundredth of it, so a
/// machine ten times slower stays within it.
pub const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(10);
