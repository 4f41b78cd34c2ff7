//! The remaining requests that a server names, and the messages of its rejections.

use std::time::Duration;

use testing::script::{Script, status};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{Limits, TogetherLayer, limiter::Measure};

use crate::{CHAT, both, per_minute, post};

/// Sends `many` requests, one after another.
async fn in_turn(script: &Script, layer: &TogetherLayer, many: usize) -> Vec<u128> {
    let service = layer.layer(script.client());
    for _ in 0..many {
        service.clone().oneshot(post(CHAT)).await.unwrap();
    }
    script.millis()
}

#[tokio::test(start_paused = true)]
async fn what_is_left_may_leave_and_then_nothing_until_the_reset() {
    let says = |left: u32| {
        let response = status(200).header("x-ratelimit-remaining", left);
        response.header("x-ratelimit-reset", 20)
    };
    let script = Script::new([says(0)]);
    assert_eq!(in_turn(&script, &both(per_minute(600)), 2).await[1], 20_000);
    let script = Script::new([says(2)]);
    let millis = in_turn(&script, &both(per_minute(600)), 4).await;
    assert!(millis[2] < 1_000 && millis[3] == 20_000, "{millis:?}");
    // Requests that left before the response arrived are subtracted from the remaining ones that it names.
    let script = Script::new([says(3)]);
    let layer = both(per_minute(600));
    let slow = layer.layer(service_fn({
        let script = script.clone();
        move |request| {
            let response = script.client().oneshot(request);
            async move {
                sleep(Duration::from_secs(1)).await;
                response.await
            }
        }
    }));
    let first: Vec<_> = (0..3)
        .map(|_| tokio::spawn(slow.clone().oneshot(post(CHAT))))
        .collect();
    for response in first {
        response.await.unwrap().unwrap();
    }
    let left = Instant::now();
    in_turn(&script, &layer, 2).await;
    assert!(left.elapsed() >= Duration::from_secs(18));
}

#[tokio::test(start_paused = true)]
async fn how_long_a_rejection_asks_to_wait_is_all_that_it_says_of_the_time() {
    let rejection = status(429).header("retry-after", 1);
    let rejection = rejection.header("x-ratelimit-remaining", 0);
    let script = Script::new([rejection.header("x-ratelimit-reset", 60)]);
    let millis = in_turn(&script, &both(per_minute(600)), 1).await;
    assert_eq!(millis, [0, 1_000]);
}

#[tokio::test(start_paused = true)]
async fn of_what_there_were_too_many_is_read_in_words_too() {
    for (message, lowered) in [
        (
            r#"{"error":{"message":"Request was rejected due to token rate limiting."}}"#,
            // There is no token limit to lower yet, and the response says nothing about requests.
            [].as_slice(),
        ),
        (
            r#"{"error":{"message":"Request was rejected due to request rate limiting."}}"#,
            &[Measure::Requests],
        ),
    ] {
        let rejection = status(429).header("retry-after", 1).body(message);
        let rejection = rejection.header("content-type", "application/json");
        let script = Script::new([rejection]);
        let layer = both(Limits::default());
        in_turn(&script, &layer, 1).await;
        let lanes = layer.limiter().snapshot().lanes;
        let learned = lanes[0].limits.iter().filter(|limit| limit.learned);
        let learned: Vec<_> = learned.map(|limit| limit.measure).collect();
        assert_eq!(learned, lowered, "{message}");
    }
}
