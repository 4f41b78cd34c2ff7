//! Jobs that run for hours: their slots, from before they are created until they have ended.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod answers;
mod drawn;
mod server;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower::ServiceExt;
use tower_together::{
    Endpoint, Limiter, Limits, Rejected, TogetherLayer, TogetherRetryLayer,
    extension::Deadline,
    jobs::{JobsApi, JobsError},
    limiter::{Measure, Reason},
    retry::Budget,
};

use self::server::{Client, Fate, Server};

const HOUR: Duration = Duration::from_secs(3_600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3_600);
const SECOND: Duration = Duration::from_secs(1);

fn request(method: &str, path: &str, body: String) -> Request<Full<Bytes>> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://together/v1/{path}"))
        .header("authorization", "Bearer key");
    request.body(Full::from(body)).unwrap()
}

fn create(suffix: &str) -> Request<Full<Bytes>> {
    let body = format!(r#"{{"model":"m","training_file":"file-1","suffix":"{suffix}"}}"#);
    request("POST", "fine-tunes", body)
}

async fn send(client: &Client, request: Request<Full<Bytes>>) -> Response<Full<Bytes>> {
    let answer = timeout(MONTH, client.clone().oneshot(request)).await;
    answer.expect("a turn").unwrap()
}

async fn get(client: &Client, path: &str) -> Response<Full<Bytes>> {
    send(client, request("GET", path, String::new())).await
}

fn api(client: &Client) -> JobsApi<Client> {
    let api = JobsApi::new(client.clone()).with_base("http://together/v1/");
    api.unwrap().with_key("key").unwrap()
}

/// Whether another could be created now, or has to wait.
async fn is_full(client: &Client) -> bool {
    let create = client.clone().oneshot(create("probe"));
    timeout(SECOND, create).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn a_job_keeps_its_slot_long_after_its_answer_and_until_an_answer_shows_its_end() {
    let (server, limiter) = (Server::new(HOUR), Limiter::default());
    let client = server.client(&limiter);
    for number in 0..3 {
        // Who creates need not read the answer.
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
    // They have ended, and nobody has looked.
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
async fn every_answer_that_shows_an_end_frees_the_slot_and_no_other_does() {
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
            let answer = send(&client, create("one")).await;
            assert_eq!(answer.status(), status);
            let read = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(read, body, "the answer is handed on whole");
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
    // The four of before still run, and count again once there is a limit again.
    limiter.set_limits(Limits::default().jobs(Endpoint::FineTuneCreate, 5.try_into().unwrap()));
    assert!(!is_full(&client).await);
    assert!(is_full(&client).await);
}

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
    let refused = waiting.await.unwrap().unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let over = timeout(SECOND, watch).await.expect("closed, it ends");
    over.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_hours_is_one_entry_that_is_seen_and_that_its_deadline_bounds() {
    let (server, limiter) = (Server::new(24 * HOUR), Limiter::default());
    let client = server.client(&limiter);
    for _ in 0..3 {
        send(&client, create("one")).await;
    }
    let mut hurried = create("four");
    hurried.extensions_mut().insert(Deadline::within(5 * HOUR));
    let begun = Instant::now();
    let waiting = tokio::spawn(client.clone().oneshot(hurried));
    sleep(HOUR).await;
    let snapshot = limiter.snapshot();
    assert_eq!(snapshot.waiting, 1);
    let lane = snapshot
        .lanes
        .iter()
        .find(|lane| lane.waiting == 1)
        .unwrap();
    let limit = lane
        .limits
        .iter()
        .find(|limit| limit.measure == Measure::Jobs)
        .unwrap();
    assert_eq!((limit.max, limit.left), (3, 0));
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(begun.elapsed().as_secs() / 60, 300);
    let rejected = answer.extensions().get::<Rejected>().unwrap();
    assert_eq!(rejected.reason(), Reason::Deadline);
    assert_eq!(limiter.snapshot().waiting, 0);
}

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
    // What a 409 said is believed for an hour, and this took three.
    assert_eq!(server.refused(), 3);

    // Nor is anything else sent again for such words.
    server.script(409, r#"{"error":{"message":"Too many concurrent jobs"}}"#);
    let answer = get(&client, "fine-tunes/ft-0").await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);

    server.script(409, r#"{"error":{"message":"a job of this name exists"}}"#);
    let begun = Instant::now();
    let answer = send(&server.client(&Limiter::default()), create("x")).await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    assert!(begun.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_429_for_too_many_jobs_says_nothing_of_the_rate() {
    let (server, limiter) = (Server::new(HOUR), Limiter::default());
    let client = server.client(&limiter);
    server.script(429, r#"{"error":{"message":"too many jobs are running"}}"#);
    let begun = Instant::now();
    let answer = send(&client, create("one")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    // The limiter knows of no job that runs, so it asks the server again after a minute.
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert_eq!(limiter.snapshot().throttled, 0);
}

#[tokio::test(start_paused = true)]
async fn jobs_of_others_are_waited_for_if_the_list_shows_them_and_otherwise_asked_for_three_times()
{
    for watched in [false, true] {
        let server = Server::new(HOUR).cap(2);
        server.begin("theirs", 20 * 60 * SECOND);
        // Nor is this one's end waited for.
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
            assert_eq!((server.refused(), minutes), (1, 20));
            assert_eq!(status, StatusCode::OK);
        } else {
            // At 0, 1 and 3 minutes.
            assert_eq!((server.refused(), minutes), (3, 3));
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
    assert_eq!(server.refused(), 2);
    limiter.sync_jobs(api(&client)).await.unwrap();
    tokio::spawn(limiter.watch_jobs(api(&client)));
    let answer = timeout(MONTH, waiting).await.expect("a turn").unwrap();
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
    assert!(server.refused() > 3, "{}", server.refused());
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_job_to_end_costs_neither_retries_nor_budget() {
    for (budget, failure, answer) in [
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
            assert_eq!(server.refused(), number + 1);
            if number == 0 {
                assert!(limiter.job_ended(id));
            }
        }
        if let Some(status) = failure {
            server.script(status, r#"{"error":{"message":"overloaded"}}"#);
        }
        assert!(limiter.job_ended(&theirs[1]));
        assert_eq!(waiting.await.unwrap(), answer);
    }
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
    // What ended since gives its slot back.
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
    let refused = limiter.sync_jobs(api(&client)).await.unwrap_err();
    assert!(refused.to_string().contains("Invalid API key"), "{refused}");
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
    let answer = timeout(MONTH, waiting).await.expect("a turn").unwrap();
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
    watch.abort();
}

#[tokio::test(start_paused = true)]
async fn fifty_fine_tunes_from_eight_tasks_three_at_a_time_whatever_becomes_of_them() {
    use Fate::{Cancelled, Completes, Fails, Restarts, Vanishes};
    let server = Server::new(HOUR)
        .fates(&[
            Completes, Vanishes, Fails, Completes, Cancelled, Restarts, Completes,
        ])
        .page(5);
    let limiter = Limiter::default();
    let client = server.client(&limiter);
    tokio::spawn(limiter.watch_jobs(api(&client)));
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let client = client.clone();
        tasks.spawn(async move {
            for number in (task..50).step_by(8) {
                let answer = send(&client, create(&format!("job-{number}"))).await;
                assert_eq!(answer.status(), StatusCode::OK);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let mut created: BTreeMap<String, usize> = BTreeMap::new();
    for job in server.jobs() {
        *created.entry(job.suffix).or_default() += 1;
    }
    assert_eq!(created.len(), 50, "none is lost");
    let restarted = server.jobs().len() - 50;
    assert!((5..=8).contains(&restarted), "{restarted}");
    let doubled = created.values().filter(|times| **times > 1).count();
    assert_eq!(
        doubled, restarted,
        "none is doubled but by the server itself"
    );
    assert_eq!(server.most(), 3);
}
