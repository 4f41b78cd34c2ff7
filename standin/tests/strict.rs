//! The limits over real sockets.

mod common;

use std::time::{Duration, Instant};

use common::{Caller, MINUTE, chat, embedding, quick};
use serde_json::json;
use together_standin::{Limit, Route, Rules};
use tokio::task::JoinSet;

/// The statuses of that many embedding requests sent at once.
async fn flood(caller: &Caller, requests: usize) -> Vec<u16> {
    let mut calls = JoinSet::new();
    for _ in 0..requests {
        let caller = caller.clone();
        calls.spawn(async move { caller.post("/v1/embeddings", &embedding()).await });
    }
    let got = calls.join_all().await;
    got.iter().map(|got| got.status.as_u16()).collect()
}

#[tokio::test]
async fn over_half_of_a_thousand_at_once_are_refused_at_300_a_minute() {
    let server = quick().start().await.unwrap();
    let since = Instant::now();
    let statuses = flood(&Caller::http2(&server), 1_000).await;
    let seconds = since.elapsed().as_secs_f64();

    let accepted = statuses.iter().filter(|status| **status == 200).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!(accepted + refused, 1_000);
    assert!(refused > 500, "{refused}");
    assert!(accepted >= 5, "{accepted}");
    assert!(accepted as f64 <= 5.0 + 5.0 * seconds + 1.0, "{accepted}");

    let stats = server.stats();
    assert_eq!(stats.routes[&Route::Embeddings].accepted, accepted as u64);
    assert_eq!(stats.routes[&Route::Embeddings].refused, refused as u64);
}

#[tokio::test]
async fn a_window_lets_through_exactly_its_number() {
    for limit in [Limit::fixed(300, MINUTE), Limit::sliding(300, MINUTE)] {
        let rules = Rules::none().limit(Route::Embeddings, limit);
        let server = quick().rules(rules).start().await.unwrap();
        let statuses = flood(&Caller::http2(&server), 1_000).await;
        let accepted = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!(accepted, 300);
    }
}

#[tokio::test]
async fn who_waits_for_the_window_is_let_in_again() {
    let rules = Rules::none().limit(Route::Chat, Limit::sliding(2, Duration::from_millis(400)));
    let server = quick().rules(rules).start().await.unwrap();
    let caller = Caller::new(&server);
    for expected in [200, 200, 429] {
        assert_eq!(
            caller.post("/chat/completions", &chat()).await.status,
            expected
        );
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(caller.post("/chat/completions", &chat()).await.status, 200);
}

#[tokio::test]
async fn keys_and_models_have_limits_of_their_own() {
    let rules = Rules::none().limit(Route::Chat, Limit::fixed(1, MINUTE));
    let server = quick().rules(rules).start().await.unwrap();
    let caller = Caller::new(&server);
    for (key, model, expected) in [
        ("Bearer a", "m", 200),
        ("Bearer a", "m", 429),
        ("bearer  a", "m", 429),
        ("Bearer b", "m", 200),
        ("Bearer a", "n", 200),
        ("Bearer a", "n", 429),
    ] {
        let body = json!({"model": model, "messages": []}).to_string();
        let path = "/v1/chat/completions";
        let got = caller.send("POST", path, Some(key), body).await;
        assert_eq!(got.status, expected, "{key} {model}");
    }
    assert!(!format!("{server:?}").contains("Bearer"));
}

#[tokio::test]
async fn refused_requests_count_when_told_to() {
    let rules = Rules::none()
        .limit(Route::Images, Limit::fixed(1, MINUTE))
        .shared(&[Route::Images, Route::Chat], Limit::fixed(2, MINUTE));
    for (count_refused, expected) in [(false, 200), (true, 429)] {
        let builder = quick().rules(rules.clone()).count_refused(count_refused);
        let server = builder.start().await.unwrap();
        let caller = Caller::new(&server);
        let image = json!({"model": "m", "prompt": "a house"});
        assert_eq!(caller.post("/images/generations", &image).await.status, 200);
        assert_eq!(caller.post("/images/generations", &image).await.status, 429);
        let got = caller.post("/chat/completions", &chat()).await;
        assert_eq!(got.status, expected, "count_refused({count_refused})");
    }
}

#[tokio::test]
async fn what_is_invalid_consumes_nothing() {
    let rules = Rules::none().limit(Route::Embeddings, Limit::fixed(1, MINUTE));
    let server = quick().rules(rules).start().await.unwrap();
    let caller = Caller::new(&server);
    let bad = json!({"model": "m", "input": 7});
    assert_eq!(caller.post("/embeddings", &bad).await.status, 400);
    assert_eq!(caller.post("/embeddings", &embedding()).await.status, 200);
    assert_eq!(caller.post("/embeddings", &embedding()).await.status, 429);
}
