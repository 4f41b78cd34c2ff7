//! Tokens, which are charged by estimate and settled later.

use std::time::Duration;

use tokio::time::Instant;
use tower_together::{Limiter, Limits, Quota, limiter::Reason};

use crate::{CHAT, chat, pass};

#[tokio::test(start_paused = true)]
async fn tokens_are_settled_both_ways() {
    let limiter = Limiter::new(Limits::none().tokens(CHAT, Quota::per_minute(6_000).unwrap()));
    let start = Instant::now();
    let mut permit = limiter.acquire(chat().with_tokens(1_000)).await.unwrap();
    permit.settle(100);
    permit.settle(100);
    pass(&limiter, chat().with_tokens(1)).await;
    assert!(
        start.elapsed() < Duration::from_millis(1_010),
        "{:?}",
        start.elapsed()
    );
    let never = limiter
        .acquire(chat().with_tokens(6_001))
        .await
        .unwrap_err();
    assert_eq!(never.reason(), Reason::NeverFits);
}

#[tokio::test(start_paused = true)]
async fn an_absurd_cost_does_not_stop_a_lane_for_good() {
    let limiter = Limiter::new(Limits::none().tokens(CHAT, Quota::per_minute(6_000).unwrap()));
    let start = Instant::now();
    let mut permit = limiter.acquire(chat().with_tokens(1)).await.unwrap();
    permit.settle(u64::MAX);
    pass(&limiter, chat().with_tokens(1)).await;
    let minutes = start.elapsed().as_secs() / 60;
    assert_eq!(minutes, 10);
    permit.settle(1);
    permit.settle(0);
    pass(&limiter, chat().with_tokens(1)).await;
    assert!(start.elapsed().as_secs() / 60 == 10);
}
