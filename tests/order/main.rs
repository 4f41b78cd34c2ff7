//! The order of departures: lanes under several limits, services that are not ready at once, and callers that are
//! polled late. In virtual time, without learning.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod shares;
mod turns;
mod windows;

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower::{Layer, ServiceExt};
use tower_together::{Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer, limiter::Call};

const CHAT: Endpoint = Endpoint::ChatCompletions;
const MINUTE: Duration = Duration::from_secs(60);

fn per_minute(max: u64) -> Quota {
    Quota::per_minute(max).unwrap()
}

fn limiter(limits: Limits) -> Limiter {
    Limiter::new(limits).adaptive(false)
}

/// Keeps each call's lane busy, and counts what each sends.
async fn sent<const N: usize>(limits: Limits, calls: [Call; N], time: Duration) -> [usize; N] {
    let limiter = limiter(limits);
    let counts: Arc<[AtomicUsize; N]> = Arc::new(std::array::from_fn(|_| AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for (lane, call) in calls.into_iter().enumerate() {
        for _ in 0..3 {
            let (limiter, counts, call) = (limiter.clone(), Arc::clone(&counts), call.clone());
            tasks.spawn(async move {
                loop {
                    drop(limiter.acquire(call.clone()).await.unwrap());
                    counts[lane].fetch_add(1, Relaxed);
                }
            });
        }
    }
    sleep(time).await;
    tasks.shutdown().await;
    std::array::from_fn(|lane| counts[lane].load(Relaxed))
}

fn assert_near(sent: &[usize], fair: &[usize]) {
    for (sent_by, fair_for) in sent.iter().zip(fair) {
        let near = fair_for * 9 / 10..=fair_for * 11 / 10;
        assert!(near.contains(sent_by), "{sent:?}, {fair:?} is fair");
    }
}

/// It waited for the table's limit, which the server's had replaced, for up to 20 s.
#[tokio::test(start_paused = true)]
async fn a_higher_limit_that_the_server_names_lets_the_waiting_go_at_once() {
    let limiter = Limiter::default();
    let call = || Call::new(Endpoint::Images);
    let permit = limiter.acquire(call()).await.unwrap();
    let waiting = limiter.acquire(call());
    let told = async { permit.told(1_000.0) };
    let (waiting, ()) = tokio::join!(waiting, told);
    let waited = waiting.unwrap().waited();
    assert!(waited < Duration::from_millis(3), "{waited:?}");
}

/// It was asked again only when a job ended.
#[tokio::test(start_paused = true)]
async fn a_report_that_all_job_slots_are_taken_is_believed_for_an_hour() {
    let responses = [
        (200, r#"{"id":"first","status":"IN_PROGRESS"}"#),
        (200, r#"{"id":"second","status":"IN_PROGRESS"}"#),
        (429, r#"{"error":{"message":"too many active batch jobs"}}"#),
        (200, r#"{"id":"third","status":"IN_PROGRESS"}"#),
    ];
    let mut responses = responses.into_iter();
    let inner = tower::service_fn(move |_: Request<Empty<Bytes>>| {
        let (status, body) = responses.next().unwrap();
        let response = Response::builder().status(status);
        let response = response.header("content-type", "application/json");
        ready(Ok::<_, std::convert::Infallible>(
            response.body(Full::from(body)).unwrap(),
        ))
    });
    let inner = tower::buffer::Buffer::new(inner, 8);
    let service = TogetherRateLimitLayer::new(Limits::default()).layer(inner);
    let start = Instant::now();
    for _ in 0..4 {
        let request = Request::post("https://api.together.ai/v1/batches");
        let request = request.body(Empty::new()).unwrap();
        let response = timeout(120 * MINUTE, service.clone().oneshot(request)).await;
        response.expect("it is asked again").unwrap();
    }
    assert_eq!(start.elapsed().as_secs() / 60, 60);
}
