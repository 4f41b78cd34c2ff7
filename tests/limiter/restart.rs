//! A lane's restart after a pause.

use std::time::Duration;

use tokio::time::Instant;
use tower_together::{Limiter, Limits};

use super::{chat, pass};

/// The time between one request and the next, in milliseconds, after a 429 that asks to wait for a
/// second. The server has named a limit of ten a second before, or none.
async fn gaps_after_a_pause(named: bool) -> Vec<u128> {
    let limiter = Limiter::new(Limits::none());
    for _ in 0..50 {
        let permit = limiter.acquire(chat()).await.unwrap();
        if named {
            permit.told(10.0);
        }
    }
    let rejected = limiter.acquire(chat()).await.unwrap();
    rejected.throttled(Some(Duration::from_secs(1)));
    pass(&limiter, chat()).await;
    let mut gaps = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        pass(&limiter, chat()).await;
        gaps.push(start.elapsed().as_millis());
    }
    gaps
}

#[tokio::test(start_paused = true)]
async fn a_lane_of_a_known_pace_starts_again_at_that_pace_and_another_slowly() {
    let named = gaps_after_a_pause(true).await;
    assert!(
        named.iter().all(|gap| (100..110).contains(gap)),
        "{named:?}"
    );
    let unknown = gaps_after_a_pause(false).await;
    assert_eq!(unknown[0], 100);
    assert!(unknown[19] <= 50, "{unknown:?}");
}
