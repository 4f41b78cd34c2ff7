//! Tables of limits that change or repeat a line.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_together::{Limiter, Limits};

use crate::{CHAT, EMB, chat, q};

/// 3,000 a minute for chat stayed under the 600 that chat and embeddings were guessed to share.
#[tokio::test(start_paused = true)]
async fn a_number_of_ones_own_ends_a_smaller_guess_at_what_is_shared() {
    let limits = Limits::default().requests(CHAT, q(3_000));
    let limiter = Limiter::new(limits);
    let start = Instant::now();
    for _ in 0..100 {
        drop(limiter.acquire(chat()).await.unwrap());
    }
    let rate = 99.0 * 60.0 / start.elapsed().as_secs_f64();
    assert!(rate > 2_900.0, "{rate} a minute");
}

/// `without` can leave two lines about the same thing; both got one id, and one bucket was lost.
#[tokio::test(start_paused = true)]
async fn the_same_table_again_forgets_nothing() {
    let table = || {
        Limits::none()
            .requests(CHAT, q(600))
            .shared([CHAT, EMB], q(1))
            .without(EMB)
    };
    let limiter = Limiter::new(table());
    drop(limiter.try_acquire(chat()).unwrap());
    sleep(Duration::from_secs(1)).await;
    assert!(limiter.try_acquire(chat()).is_err());
    limiter.set_limits(table());
    assert!(
        limiter.try_acquire(chat()).is_err(),
        "the same table again forgot what was sent"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_shared_is_the_same_in_any_order() {
    let limiter = Limiter::new(
        Limits::none()
            .shared([CHAT, EMB], q(60))
            .shared([EMB, CHAT], q(6000)),
    );
    drop(limiter.acquire(chat()).await.unwrap());
    assert_eq!(limiter.snapshot().lanes[0].limits.len(), 1);
}
