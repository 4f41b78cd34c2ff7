//! The slot of a job, from its create to its end.

use http_body_util::BodyExt;
use tokio::time::sleep;
use tower_together::{Endpoint, Limiter, Limits};

use crate::server::Server;
use crate::{HOUR, api, create, get, is_full, request, send};

#[tokio::test(start_paused = true)]
async fn a_job_keeps_its_slot_long_after_its_response_and_until_a_response_shows_its_end() {
    let (server, limiter) = (Server::new(HOUR), Limiter::default());
    let client = server.client(&limiter);
    for number in 0..3 {
        // A caller need not read the response to a create.
        drop(send(&client, create(&format!("{number}"))).await);
    }
    assert!(is_full(&client).await);
    let snapshot = limiter.snapshot();
    let ids: Vec<_> = snapshot.jobs.iter().map(|job| &*job.id).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert!(
        snapshot
            .jobs
            .iter()
            .all(|job| job.endpoint == Endpoint::FineTuneCreate)
    );
    sleep(2 * HOUR).await;
    // They have ended, but their status has not been asked for.
    assert!(is_full(&client).await);
    get(&client, "fine-tunes/ft-1").await;
    assert_eq!(limiter.snapshot().jobs.len(), 2);
    assert!(!is_full(&client).await);
    // One more took its place; a list shows the ends of the others.
    assert!(is_full(&client).await);
    get(&client, "fine-tunes").await;
    assert_eq!(limiter.snapshot().jobs.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_response_that_shows_an_end_frees_the_slot_and_no_other_does() {
    let get = || request("GET", "fine-tunes/ft-0", String::new());
    let cancel = || request("POST", "fine-tunes/ft-0/cancel", String::new());
    let delete = || request("DELETE", "fine-tunes/ft-0", String::new());
    let list = || request("GET", "fine-tunes", String::new());
    for (request, status, body, frees) in [
        (get(), 200, r#"{"id":"ft-0","status":"completed"}"#, true),
        (get(), 200, r#"{"id":"ft-0","status":"user_error"}"#, true),
        (
            get(),
            200,
            r#"{"job":{"id":"ft-0","status":"EXPIRED"}}"#,
            true,
        ),
        (get(), 200, r#"{"id":"ft-0","status":"running"}"#, false),
        (get(), 200, r#"{"id":"ft-0","status":"resting"}"#, false),
        (get(), 200, r#"{"id":"ft-0","status":"comp"#, false),
        (get(), 200, r#"{"id":"ft-9","status":"completed"}"#, false),
        (get(), 404, r#"{"error":{"message":"not found"}}"#, true),
        (get(), 403, r#"{"error":{"message":"no"}}"#, false),
        (list(), 200, r#"[{"id":"ft-0","status":"CANCELLED"}]"#, true),
        (
            list(),
            200,
            r#"{"data":[{"id":"ft-0","status":"error"}]}"#,
            true,
        ),
        (list(), 200, r#"{"data":[]}"#, false),
        (list(), 404, "{}", false),
        (cancel(), 200, r#"{"id":"ft-0","status":"cancelled"}"#, true),
        (
            cancel(),
            200,
            r#"{"id":"ft-0","status":"cancel_requested"}"#,
            false,
        ),
        (
            cancel(),
            409,
            r#"{"error":"Cannot cancel job - already in terminal state: FAILED"}"#,
            true,
        ),
        (cancel(), 409, r#"{"error":"busy"}"#, false),
        (delete(), 200, r#"{"message":"deleted"}"#, true),
        (delete(), 404, "{}", true),
        (delete(), 409, "{}", false),
    ] {
        let (server, limiter) = (Server::new(HOUR), Limiter::default());
        let client = server.client(&limiter);
        send(&client, create("one")).await;
        server.script(status, body);
        let what = format!("{} {} {status} {body}", request.method(), request.uri());
        send(&client, request).await;
        assert_eq!(limiter.snapshot().jobs.is_empty(), frees, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_that_fails_or_names_no_job_keeps_no_slot() {
    for (status, body) in [
        (400, r#"{"error":{"message":"no such file"}}"#),
        (201, r#"{"warning":"nothing was made"}"#),
        (200, r#"{"id":"ft-0","status":"error"}"#),
        (200, "<html>"),
    ] {
        let (server, limiter) = (Server::new(HOUR), Limiter::default());
        let client = server.client(&limiter);
        for _ in 0..4 {
            server.script(status, body);
            let response = send(&client, create("one")).await;
            assert_eq!(response.status(), status);
            let read = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(read, body, "the response is handed on whole");
        }
        assert!(limiter.snapshot().jobs.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn another_key_neither_fills_nor_frees_a_slot() {
    let (server, limiter) = (Server::new(HOUR), Limiter::default());
    let client = server.client(&limiter);
    send(&client, create("one")).await;
    let mut stranger = request("GET", "fine-tunes/ft-0", String::new());
    stranger
        .headers_mut()
        .insert("authorization", "Bearer other".parse().unwrap());
    server.script(404, "{}");
    send(&client, stranger).await;
    assert_eq!(limiter.snapshot().jobs.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_keys_that_see_the_same_job_each_have_a_slot_for_it() {
    let (server, limiter) = (Server::new(HOUR), Limiter::default());
    let client = server.client(&limiter);
    send(&client, create("one")).await;
    let other = api(&client).with_key("other").unwrap();
    assert_eq!(limiter.sync_jobs(other.clone()).await.unwrap(), 1);
    assert_eq!(limiter.snapshot().jobs.len(), 2);
    sleep(HOUR).await;
    assert_eq!(limiter.sync_jobs(other).await.unwrap(), 0);
    assert_eq!(limiter.snapshot().jobs.len(), 1);
    assert_eq!(limiter.sync_jobs(api(&client)).await.unwrap(), 0);
    assert!(limiter.snapshot().jobs.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_a_number_to_change_and_to_switch_off() {
    let (server, limiter) = (Server::new(HOUR), Limiter::default());
    let client = server.client(&limiter);
    for _ in 0..3 {
        send(&client, create("one")).await;
    }
    limiter.set_limits(Limits::default().jobs(Endpoint::FineTuneCreate, 4.try_into().unwrap()));
    assert!(!is_full(&client).await);
    assert!(is_full(&client).await);
    limiter.set_limits(Limits::default().without(Endpoint::FineTuneCreate));
    assert!(!is_full(&client).await);
    // The first four still run, and count again once there is a limit again.
    limiter.set_limits(Limits::default().jobs(Endpoint::FineTuneCreate, 5.try_into().unwrap()));
    assert!(!is_full(&client).await);
    assert!(is_full(&client).await);
}
