//! A watcher of jobs.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;
use tower_together::{
    Limiter,
    jobs::{JobsApi, JobsError},
};

use crate::server::Server;
use crate::{HOUR, MONTH, SECOND, api, create, is_full, send};

#[tokio::test(start_paused = true)]
async fn a_watcher_asks_while_somebody_waits_and_only_then() {
    let (server, limiter) = (Server::new(HOUR), Limiter::default());
    let client = server.client(&limiter);
    let watch = tokio::spawn(limiter.watch_jobs(api(&client)));
    for _ in 0..3 {
        send(&client, create("one")).await;
    }
    sleep(HOUR / 2).await;
    assert_eq!(server.asked(Method::GET, "fine-tunes"), []);
    let begun = Instant::now();
    send(&client, create("four")).await;
    let waited = begun.elapsed();
    assert!(
        waited >= HOUR / 2 - SECOND && waited < HOUR / 2 + 61 * SECOND,
        "{waited:?}"
    );
    let asked = server.asked(Method::GET, "fine-tunes");
    assert!(asked[0] - begun < SECOND);
    for pair in asked.windows(2) {
        let apart = pair[1] - pair[0];
        assert!((30..=61).contains(&apart.as_secs()), "{apart:?}");
    }
    assert_eq!(server.asked(Method::GET, "batches"), []);
    let before = asked.len();
    sleep(24 * HOUR).await;
    assert_eq!(server.asked(Method::GET, "fine-tunes").len(), before);
    limiter.close();
    let over = timeout(SECOND, watch).await.expect("closed, it ends");
    over.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_watcher_ends_at_once_when_the_limiter_is_closed_while_somebody_waits() {
    let (server, limiter) = (Server::new(HOUR), Limiter::default());
    let client = server.client(&limiter);
    let watch = tokio::spawn(limiter.watch_jobs(api(&client)));
    for _ in 0..3 {
        send(&client, create("one")).await;
    }
    let waiting = tokio::spawn(client.clone().oneshot(create("four")));
    sleep(10 * SECOND).await;
    limiter.close();
    let rejected = waiting.await.unwrap().unwrap();
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    let over = timeout(SECOND, watch).await.expect("closed, it ends");
    over.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_what_runs_takes_its_slots() {
    let server = Server::new(HOUR).page(2);
    for number in 0..7 {
        server.begin(
            &number.to_string(),
            if number < 2 { 9 * HOUR } else { SECOND },
        );
    }
    sleep(2 * SECOND).await;
    let limiter = Limiter::default();
    let client = server.client(&limiter);
    // The two that run are on the last of the pages.
    assert_eq!(limiter.sync_jobs(api(&client)).await.unwrap(), 2);
    assert_eq!(limiter.sync_jobs(api(&client)).await.unwrap(), 2);
    assert!(!is_full(&client).await);
    assert!(is_full(&client).await);
    // Jobs that have ended since give their slots back.
    sleep(10 * HOUR).await;
    assert_eq!(limiter.sync_jobs(api(&client)).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_watch_is_told_why() {
    let server = Server::new(HOUR);
    let limiter = Limiter::default();
    let client = server.client(&limiter);
    let strange = limiter
        .sync_jobs(api(&server.client(&Limiter::default())))
        .await;
    assert!(matches!(strange, Err(JobsError::NotLimited)), "{strange:?}");
    server.script(401, r#"{"error":{"message":"Invalid API key provided"}}"#);
    let rejected = limiter.sync_jobs(api(&client)).await.unwrap_err();
    assert!(
        rejected.to_string().contains("Invalid API key"),
        "{rejected}"
    );
    for body in [
        "<html>",
        r#"{"error":{}}"#,
        r#"{"jobs":[]}"#,
        r#"{"data":null}"#,
    ] {
        server.script(200, body);
        let unreadable = limiter.sync_jobs(api(&client)).await.unwrap_err();
        assert!(
            unreadable.to_string().contains("/v1"),
            "{body}: {unreadable}"
        );
    }
    assert!(JobsApi::new(()).with_base("together.ai").is_err());
    assert!(JobsApi::new(()).with_key("a\nb").is_err());
    let shown = format!("{:?}", JobsApi::new(()).with_key("secret").unwrap());
    assert!(!shown.contains("secret"), "{shown}");
    for interval in [Duration::ZERO, Duration::MAX] {
        let ask = move || JobsApi::new(()).with_interval(interval);
        assert!(std::panic::catch_unwind(ask).is_err(), "{interval:?}");
    }
    // A watcher that could never learn anything ends; one that fails for a while goes on.
    for _ in 0..3 {
        send(&client, create("one")).await;
    }
    let waiting = tokio::spawn(client.clone().oneshot(create("four")));
    sleep(SECOND).await;
    server.script(401, "{}");
    let watched = timeout(MONTH, limiter.watch_jobs(api(&client))).await;
    assert!(watched.expect("nobody to ask").is_err());
    server.script(400, "{}");
    let watch = tokio::spawn(limiter.watch_jobs(api(&client)));
    let response = timeout(MONTH, waiting).await.expect("a turn").unwrap();
    assert_eq!(response.unwrap().status(), StatusCode::OK);
    watch.abort();
}
