//! Jobs that run for hours: their slots, from before they are created until they have ended.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod drawn;
mod others;
mod responses;
mod server;
mod slots;
mod watching;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use server::{Client, Fate, Server};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower::ServiceExt;
use tower_together::{
    Limiter, Rejected,
    extension::Deadline,
    jobs::JobsApi,
    limiter::{Measure, Reason},
};

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
    let response = timeout(MONTH, client.clone().oneshot(request)).await;
    response.expect("a turn").unwrap()
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
    let response = waiting.await.unwrap().unwrap();
    assert_eq!(begun.elapsed().as_secs() / 60, 300);
    let rejected = response.extensions().get::<Rejected>().unwrap();
    assert_eq!(rejected.reason(), Reason::Deadline);
    assert_eq!(limiter.snapshot().waiting, 0);
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
                let response = send(&client, create(&format!("job-{number}"))).await;
                assert_eq!(response.status(), StatusCode::OK);
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
