//! Shares of lanes in a window without pace.

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

use crate::{CHAT, MINUTE, limiter, per_minute, sent};

/// The lane that nothing paces took each window at once: of 6,000 the other lane sent 60.
#[tokio::test(start_paused = true)]
async fn a_paced_lane_gets_its_share_of_an_unpaced_window() {
    use Endpoint::Embeddings;
    let limits = Limits::none()
        .shared([CHAT, Embeddings], per_minute(600).unpaced())
        .requests(Embeddings, per_minute(1_000));
    let lanes = [CHAT, Embeddings].map(Call::new);
    let all = sent(limits.clone(), lanes.clone(), 10 * MINUTE).await;
    assert!(all[0] + all[1] >= 5_900, "{all:?} of 6,000");
    assert!(all[1] >= 1_500, "{all:?}: 3,000 would be fair");
    // A lane that can use little leaves the rest.
    let slow = limits.requests(Embeddings, per_minute(6));
    let all = sent(slow, lanes, 10 * MINUTE).await;
    assert!(all[0] >= 5_800 && all[1] >= 48, "{all:?}");
}

/// The same holds for a lane that waits for a slot, if the other lanes do not.
#[tokio::test(start_paused = true)]
async fn a_lane_that_waits_for_a_slot_gets_its_share_of_an_unpaced_window() {
    use Endpoint::Embeddings;
    let limits = Limits::none()
        .shared([CHAT, Embeddings], per_minute(120).unpaced())
        .in_flight(Embeddings, NonZeroU32::MIN);
    let limiter = limiter(limits);
    let mut tasks = JoinSet::new();
    let sent = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    for (lane, endpoint, takes) in [(0, CHAT, 0), (1, Embeddings, 500)] {
        for _ in 0..3 {
            let (limiter, sent) = (limiter.clone(), Arc::clone(&sent));
            tasks.spawn(async move {
                loop {
                    let permit = limiter.acquire(Call::new(endpoint)).await.unwrap();
                    sent[lane].fetch_add(1, Relaxed);
                    sleep(Duration::from_millis(takes)).await;
                    drop(permit);
                }
            });
        }
    }
    sleep(10 * MINUTE).await;
    let sent = [0, 1].map(|lane| sent[lane].load(Relaxed));
    assert!(sent[0] + sent[1] >= 1_170, "{sent:?} of 1,200");
    assert!(sent[1] >= 300, "{sent:?}: 600 would be fair");
}

/// Keeps a lane busy whose requests are charged 10,000 tokens and cost 300, as their responses say half a
/// second later. Returns what they cost in ten minutes.
async fn settled_tokens(limits: Limits, beside: Option<Call>) -> usize {
    let limiter = limiter(limits);
    let used = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (limiter, used) = (limiter.clone(), Arc::clone(&used));
        tasks.spawn(async move {
            loop {
                let call = Call::new(CHAT).with_model("m").with_tokens(10_000);
                let mut permit = limiter.acquire(call).await.unwrap();
                sleep(Duration::from_millis(500)).await;
                permit.settle(300);
                used.fetch_add(300, Relaxed);
            }
        });
    }
    if let Some(call) = beside {
        tasks.spawn(async move { while limiter.acquire(call.clone()).await.is_ok() {} });
    }
    sleep(10 * MINUTE).await;
    used.load(Relaxed)
}

/// A lane's share of a window was the charge of its requests, and not their cost: beside a slow lane it used 3 % of the
/// window.
#[tokio::test(start_paused = true)]
async fn a_lane_s_share_of_an_unpaced_window_is_what_its_requests_cost() {
    let tokens = per_minute(100_000).unpaced();
    let limits = Limits::none()
        .tokens(CHAT, tokens)
        .for_model("slow", Limits::none().requests(CHAT, per_minute(1)));
    let slow = Call::new(CHAT).with_model("slow").with_tokens(300);
    let alone = settled_tokens(limits.clone(), None).await;
    let beside = settled_tokens(limits, Some(slow)).await;
    assert!(
        beside * 10 >= alone * 9,
        "{beside} beside it, {alone} alone"
    );
}

/// A lane from which no request had left yet was not counted among those that share the window.
#[tokio::test(start_paused = true)]
async fn a_lane_has_its_share_of_an_unpaced_window_before_anything_of_it_has_left() {
    let limits = Limits::none()
        .requests(CHAT, per_minute(60).unpaced())
        .for_model("slow", Limits::none().tokens(CHAT, per_minute(60)));
    let limiter = limiter(limits);
    let slow = Call::new(CHAT).with_model("slow").with_tokens(10);
    drop(limiter.acquire(slow.clone()).await.unwrap());
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let limiter = limiter.clone();
        let call = Call::new(CHAT).with_model("m");
        tasks.spawn(async move { limiter.acquire(call).await.map(drop) });
    }
    for _ in 0..3 {
        let waited = limiter.acquire(slow.clone()).await.unwrap().waited();
        assert!(waited < Duration::from_secs(12), "{waited:?}");
    }
}
