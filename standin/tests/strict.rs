//! The limits over real sockets. The clock is paused: a window passes only when a test advances it.

mod common;

use std::time::Duration;

use common::{Caller, MINUTE, chat, embedding, quick};
use serde_json::json;
use together_standin::{Limit, Route, Rules};
use tokio::{task::JoinSet, time::advance};

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

#[tokio::test(start_paused = true)]
async fn a_burst_is_let_through_and_then_300_a_minute() {
    let server = quick().start().await.unwrap();
    let caller = Caller::http2(&server);
    for wait in [Duration::ZERO, Duration::from_secs(1)] {
        advance(wait).await;
        let statuses = flood(&caller, 100).await;
        let got = |wanted| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!((got(200), got(429)), (5, 95));
    }
    let embeddings = server.stats().routes[&Route::Embeddings];
    assert_eq!((embeddings.accepted, embeddings.refused), (10, 190));
}

#[tokio::test(start_paused = true)]
async fn a_window_lets_through_exactly_its_number() {
    for limit in [Limit::fixed(300, MINUTE), Limit::sliding(300, MINUTE)] {
        let rules = Rules::none().limit(Route::Embeddings, limit);
        let server = quick().rules(rules).start().await.unwrap();
        let statuses = flood(&Caller::http2(&server), 1_000).await;
        let accepted = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!(accepted, 300);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_window_is_let_in_again() {
    let rules = Rules::none().limit(Route::Chat, Limit::sliding(2, MINUTE));
    let server = quick().rules(rules).start().await.unwrap();
    let caller = Caller::new(&server);
    let moment = Duration::from_millis(1);
    for (wait, expected) in [
        (Duration::ZERO, 200),
        (Duration::ZERO, 200),
        (Duration::ZERO, 429),
        (MINUTE - moment, 429),
        (moment, 200),
    ] {
        advance(wait).await;
        let got = caller.post("/chat/completions", &chat()).await;
        assert_eq!(got.status, expected, "after {wait:?}");
    }
}

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn rejected_requests_count_when_told_to() {
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

#[tokio::test(start_paused = true)]
async fn what_is_invalid_consumes_nothing() {
    let rules = Rules::none().limit(Route::Embeddings, Limit::fixed(1, MINUTE));
    let server = quick().rules(rules).start().await.unwrap();
    let caller = Caller::new(&server);
    let bad = json!({"model": "m", "input": 7});
    assert_eq!(caller.post("/embeddings", &bad).await.status, 400);
    assert_eq!(caller.post("/embeddings", &embedding()).await.status, 200);
    assert_eq!(caller.post("/embeddings", &embedding()).await.status, 429);
}
