//! Shares of lanes in limits that they have in common.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};
use tower_together::{Endpoint, Limits, limiter::Call};

use crate::{CHAT, MINUTE, assert_near, limiter, per_minute, sent};

/// Chat sent once in half an hour: it held its place in the limit that delayed it longest only, and the
/// other lanes took the other one.
#[tokio::test(start_paused = true)]
async fn a_lane_under_two_shared_limits_gets_its_share_of_both() {
    use Endpoint::{Completions, Embeddings, Rerank};
    let limits = Limits::default().shared([CHAT, Rerank], per_minute(50));
    let calls = [CHAT, Rerank, Completions, Embeddings].map(Call::new);
    let sent = sent(limits, calls, 30 * MINUTE).await;
    // 25 of 50 a minute each; of the 600 a minute that chat shares, the others have the rest.
    assert_near(&sent, &[750, 750, 8_610, 8_610]);
}

#[tokio::test(start_paused = true)]
async fn a_lane_under_requests_and_tokens_gets_its_share_of_both() {
    let limits = Limits::none()
        .requests(CHAT, per_minute(600))
        .tokens(CHAT, per_minute(70_000))
        .for_model("big", Limits::none().requests(CHAT, per_minute(600)))
        .for_model("small", Limits::none().tokens(CHAT, per_minute(70_000)));
    let calls = [("big", 1_000), ("small", 100), ("m", 1_000)];
    let calls = calls.map(|(model, tokens)| {
        let call = Call::new(CHAT).with_model(model);
        call.with_tokens(tokens)
    });
    let sent = sent(limits, calls, 10 * MINUTE).await;
    // Tokens for 70 requests a minute, shared by two; and the rest of 600 requests.
    assert_near(&sent, &[350, 5_630, 350]);
}

/// A place in a limit's queue is not a hold: under one, 8 % of a limit of 600 a minute was used. Beside a
/// limit of 300 a minute, 75 % was used, since two intervals of the one are 2 ns more than one of the other.
#[tokio::test(start_paused = true)]
async fn a_lane_that_waits_for_a_slow_limit_leaves_a_fast_one_to_others() {
    use Endpoint::{Embeddings, Rerank};
    for slow in [50, 300] {
        let limits = Limits::none()
            .shared([CHAT, Rerank], per_minute(slow as u64))
            .shared([CHAT, Embeddings], per_minute(600));
        let calls = [CHAT, Rerank, Embeddings].map(Call::new);
        let sent = sent(limits, calls, 10 * MINUTE).await;
        let half = slow * 10 / 2;
        assert_near(&sent, &[half, half, 5_980 - half]);
    }
}

/// It idled until each departure of a lane that waits for another limit, up to one of its own intervals: 80 %
/// was used.
#[tokio::test(start_paused = true)]
async fn a_limit_does_not_idle_for_a_lane_that_waits_for_another() {
    use Endpoint::Embeddings;
    let limits = Limits::none()
        .shared([CHAT, Embeddings], per_minute(50))
        .requests(CHAT, per_minute(20));
    let sent = sent(limits, [CHAT, Embeddings].map(Call::new), 10 * MINUTE).await;
    assert!(sent[0] + sent[1] >= 475, "{sent:?} of 500");
    // 20 a minute is its share.
    assert!(sent[0] >= 150, "{sent:?}");
}

/// Requests that cost many tokens and few, under two limits: a quarter of the tokens was not used.
#[tokio::test(start_paused = true)]
async fn tokens_do_not_idle_for_lanes_that_wait_for_requests() {
    use Endpoint::{Completions, Embeddings, Images, Rerank};
    let limits = Limits::none()
        .requests(Embeddings, per_minute(200))
        .shared_tokens([CHAT, Embeddings, Rerank, Images], per_minute(1_000_000))
        .shared([CHAT, Completions, Rerank], per_minute(200))
        .requests(Completions, per_minute(50));
    let calls = [
        (CHAT, 3_000),
        (Completions, 1_000),
        (Embeddings, 7_000),
        (Rerank, 100),
        (Images, 100),
    ];
    let calls = calls.map(|(endpoint, tokens)| Call::new(endpoint).with_tokens(tokens));
    let sent = sent(limits, calls, 20 * MINUTE).await;
    let tokens: usize = sent
        .iter()
        .zip([3_000, 0, 7_000, 100, 100])
        .map(|(sent, cost)| sent * cost)
        .sum();
    assert!(tokens >= 18_900_000, "{sent:?}: {tokens} of 19,934,000");
    // Each has its share of the limits that no lane has alone, less a third at most.
    assert!(sent[0] >= 900 && sent[3] >= 900, "{sent:?}");
}

/// A lane waits for a slot and for a paced limit at once.
#[tokio::test(start_paused = true)]
async fn a_lane_under_a_slot_and_a_pace_is_not_starved_of_either() {
    let limits = Limits::none()
        .requests(CHAT, per_minute(600))
        .in_flight(CHAT, NonZeroU32::MIN)
        .for_model("own pace", Limits::none().requests(CHAT, per_minute(6_000)))
        .for_model("own slot", Limits::none().in_flight(CHAT, NonZeroU32::MIN));
    let limiter = limiter(limits);
    let mut tasks = JoinSet::new();
    let mut sent = Vec::new();
    for model in ["own pace", "own slot", "m"] {
        let count = Arc::new(AtomicUsize::new(0));
        sent.push(Arc::clone(&count));
        for _ in 0..3 {
            let (limiter, count) = (limiter.clone(), Arc::clone(&count));
            tasks.spawn(async move {
                loop {
                    let call = Call::new(CHAT).with_model(model);
                    let permit = limiter.acquire(call).await.unwrap();
                    count.fetch_add(1, Relaxed);
                    sleep(Duration::from_millis(90)).await;
                    drop(permit);
                }
            });
        }
    }
    sleep(10 * MINUTE).await;
    let sent: Vec<_> = sent.iter().map(|count| count.load(Relaxed)).collect();
    assert!(sent.iter().all(|sent| *sent >= 1_300), "{sent:?}");
}
