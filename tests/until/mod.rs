//! Waiting in real time for a condition.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::patience::PATIENCE;

/// Asks again and again until `holds`, and fails after [`PATIENCE`].
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(PAUSE).await;
        }
    };
    let waited = timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "not within {PATIENCE:?}: {what}");
}

const PAUSE: Duration = Duration::from_millis(10);
