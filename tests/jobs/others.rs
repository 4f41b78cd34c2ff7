//! Jobs of other programs, which the server counts too.

use http::StatusCode;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower::ServiceExt;
use tower_together::{Limiter, TogetherLayer, TogetherRetryLayer, retry::Budget};

use crate::server::Server;
use crate::{HOUR, MONTH, SECOND, api, create, get, send};

#[tokio::test(start_paused = true)]
async fn one_job_too_many_waits_for_one_to_end_and_other_conflicts_are_final() {
    let server = Server::new(HOUR).cap(2);
    let limiter = Limiter::default();
    let client = server.client(&limiter);
    tokio::spawn(limiter.watch_jobs(api(&client)));
    let mut creates = JoinSet::new();
    for number in 0..7 {
        let client = client.clone();
        creates.spawn(async move { send(&client, create(&number.to_string())).await.status() });
    }
    while let Some(status) = creates.join_next().await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
    assert_eq!(server.jobs().len(), 7);
    // The limit from a 409 is believed for an hour, and this took three.
    assert_eq!(server.rejected(), 3);

    // No other request is retried for such words.
    server.script(409, r#"{"error":{"message":"Too many concurrent jobs"}}"#);
    let response = get(&client, "fine-tunes/ft-0").await;
    assert_eq!(response.status(), StatusCode::CONFLICT);

    server.script(409, r#"{"error":{"message":"a job of this name exists"}}"#);
    let begun = Instant::now();
    let response = send(&server.client(&Limiter::default()), create("x")).await;
    assert_eq!(response.status(), StatusCode::CONFLICT);
    assert!(begun.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_429_for_too_many_jobs_says_nothing_of_the_rate() {
    let (server, limiter) = (Server::new(HOUR), Limiter::default());
    let client = server.client(&limiter);
    server.script(429, r#"{"error":{"message":"too many jobs are running"}}"#);
    let begun = Instant::now();
    let response = send(&client, create("one")).await;
    assert_eq!(response.status(), StatusCode::OK);
    // The limiter knows of no job that runs, so it asks the server again after a minute.
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert_eq!(limiter.snapshot().throttled_count, 0);
}

#[tokio::test(start_paused = true)]
async fn jobs_of_others_are_waited_for_if_the_list_shows_them_and_otherwise_asked_for_three_times()
{
    for watched in [false, true] {
        let server = Server::new(HOUR).cap(2);
        server.begin("theirs", 20 * 60 * SECOND);
        // The end of this job is not waited for.
        server.begin("theirs too", 24 * HOUR);
        let limiter = Limiter::default();
        let client = server.client(&limiter);
        if watched {
            tokio::spawn(limiter.watch_jobs(api(&client)));
        }
        let begun = Instant::now();
        let status = send(&client, create("ours")).await.status();
        let minutes = begun.elapsed().as_secs() / 60;
        if watched {
            assert_eq!((server.rejected(), minutes), (1, 20));
            assert_eq!(status, StatusCode::OK);
        } else {
            // At 0, 1 and 3 minutes.
            assert_eq!((server.rejected(), minutes), (3, 3));
            assert_eq!(status, StatusCode::CONFLICT);
        }
    }
}

/// Words without a job that runs may be about anything. A check of the list between two attempts shows that
/// they are not.
#[tokio::test(start_paused = true)]
async fn jobs_that_a_check_of_the_list_shows_are_waited_for_again_and_again() {
    let server = Server::new(HOUR).cap(1);
    for minutes in [30, 40, 50, 60, 70] {
        server.begin("theirs", minutes * 60 * SECOND);
    }
    let limiter = Limiter::default();
    let client = server.client(&limiter);
    let waiting = tokio::spawn(client.clone().oneshot(create("ours")));
    sleep(2 * 60 * SECOND).await;
    assert_eq!(server.rejected(), 2);
    limiter.sync_jobs(api(&client)).await.unwrap();
    tokio::spawn(limiter.watch_jobs(api(&client)));
    let response = timeout(MONTH, waiting).await.expect("a turn").unwrap();
    assert_eq!(response.unwrap().status(), StatusCode::OK);
    assert!(server.rejected() > 3, "{}", server.rejected());
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_job_to_end_costs_neither_retries_nor_budget() {
    for (budget, failure, response) in [
        (Budget::new(0.0, 0), None, 200),
        (Budget::new(0.0, 0), Some(503), 503),
        (Budget::new(0.0, 1), Some(503), 200),
    ] {
        let server = Server::new(HOUR).cap(1);
        let theirs = [10, 20].map(|minutes| server.begin("theirs", minutes * 60 * SECOND));
        let retry = TogetherRetryLayer::default()
            .with_max_retries(1)
            .with_budget(budget);
        let limiter = Limiter::default();
        let client = server.client_with(TogetherLayer::from(limiter.clone()).with_retry(retry));
        limiter.sync_jobs(api(&client)).await.unwrap();
        let waiting = tokio::spawn(async move { send(&client, create("ours")).await.status() });
        for (number, id) in theirs.iter().enumerate() {
            sleep(10 * 60 * SECOND).await;
            assert_eq!(server.rejected(), number + 1);
            if number == 0 {
                assert!(limiter.job_ended(id));
            }
        }
        if let Some(status) = failure {
            server.script(status, r#"{"error":{"message":"overloaded"}}"#);
        }
        assert!(limiter.job_ended(&theirs[1]));
        assert_eq!(waiting.await.unwrap(), response);
    }
}
