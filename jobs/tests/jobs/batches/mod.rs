//! Many requests as batches: over real sockets, and in virtual time how often the server is asked.

mod creates;
mod journal;
mod results;

use std::{num::NonZeroUsize, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use together_standin::{Answer, Fate, JobKind, Jobs, StandIn};
use tower::Layer;
use tower_together::{Limiter, Limits, TogetherLayer, TogetherRetryLayer};
use tower_together_jobs::{Batches, JobsApi, Outcome, Reason};

use crate::arrivals::{creates_at, giving_up, until};

/// From one look at a batch to the next. All else may take as long as it likes.
const TICK: Duration = Duration::from_millis(5);

/// A server whose batches take a few ticks.
async fn server(jobs: Jobs) -> StandIn {
    let jobs = jobs.batch_time(5 * TICK);
    StandIn::builder().jobs(jobs).start().await.unwrap()
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// The API behind a layer and a client.
fn api<S: Clone>(
    server: &StandIn,
    layer: TogetherLayer,
    client: S,
) -> JobsApi<<TogetherLayer as Layer<S>>::Service> {
    let api = JobsApi::new(layer.layer(client)).with_base(&format!("{}/v1", server.url()));
    api.unwrap().with_key("key").unwrap().with_interval(TICK)
}

fn request(number: usize) -> Value {
    let model = if number % 50 == 7 { "unknown" } else { "m" };
    json!({"model": model, "messages": [{"role": "user", "content": number.to_string()}]})
}

/// Sends them, and checks that what comes is in their order.
async fn run(server: &StandIn, size: usize, requests: Vec<Value>) -> Vec<Outcome> {
    let api = api(server, TogetherLayer::default(), client());
    let size = NonZeroUsize::new(size).unwrap();
    let expected = requests.len();
    let outcomes = Batches::new(api).with_size(size).run(requests);
    let outcomes: Vec<Outcome> = pin!(outcomes).collect().await;
    let order = outcomes.iter().map(|outcome| outcome.index);
    assert!(order.eq(0..expected), "each once, and in order");
    outcomes
}

fn missing(outcomes: Vec<Outcome>) -> Vec<(Value, Reason)> {
    let missing = outcomes
        .into_iter()
        .filter_map(|outcome| outcome.result.err());
    missing
        .map(|missing| (missing.request, missing.reason))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_requests_ten_batches_at_a_time_whatever_fails() {
    use Fate::{Cancelled, Completes, Expires, Fails, HalfFails, Vanishes};
    let server = server(Jobs::default().batches(10).fates([
        Completes, Completes, HalfFails, Completes, Expires, Fails, Completes, Cancelled,
        Completes, Vanishes,
    ]))
    .await;
    for (path, response) in [
        ("/files/upload", Answer::status(503)),
        ("/files/upload", Answer::reset()),
        ("/batches", Answer::reset()),
        ("/batches", Answer::status(500)),
    ] {
        server.script("POST", path, response);
    }
    server.script("GET", "/batches", Answer::status(502).times(2));
    let mut responses = [0; 2_500];
    let mut bad = Vec::new();
    let mut open: Vec<usize> = (0..2_500).collect();
    let mut rounds = 0;
    while !open.is_empty() {
        rounds += 1;
        assert!(rounds < 20, "{} requests never get a response", open.len());
        let requests = open.iter().copied().map(request).collect();
        let outcomes = run(&server, 100, requests).await;
        let mut again = Vec::new();
        for (number, outcome) in open.into_iter().zip(outcomes) {
            match outcome.result {
                Ok(response) => {
                    assert_eq!(response["object"], "chat.completion");
                    responses[number] += 1;
                }
                Err(missing) => {
                    assert_eq!(missing.request, request(number));
                    match missing.reason {
                        // Others of its batch have failed for nothing.
                        Reason::Failed(why) if why.to_string().contains("no such model") => {
                            bad.push(number)
                        }
                        _ => again.push(number),
                    }
                }
            }
        }
        open = again;
    }
    bad.sort_unstable();
    assert!(
        bad.iter()
            .copied()
            .eq((0..2_500).filter(|number| number % 50 == 7))
    );
    let mut responses = responses.iter().enumerate();
    assert!(responses.all(|(number, times)| *times == usize::from(number % 50 != 7)));
    assert!(server.max_concurrent_jobs(JobKind::Batch) <= 10);
    assert!(rounds > 2, "nothing failed");
}

#[tokio::test]
async fn a_batch_has_at_most_100_requests_unless_it_is_told_otherwise() {
    for (size, batches) in [(None, 3), (Some(250), 1), (Some(40), 7)] {
        let server = server(Jobs::default()).await;
        let mut all = Batches::new(api(&server, TogetherLayer::default(), client()));
        if let Some(size) = size {
            all = all.with_size(NonZeroUsize::new(size).unwrap());
        }
        let outcomes: Vec<_> = pin!(all.run((0..250).map(request))).collect().await;
        assert_eq!(outcomes.len(), 250);
        assert_eq!(server.jobs().len(), batches);
    }
}

#[tokio::test]
async fn a_create_whose_response_is_lost_is_not_made_twice() {
    let late = Duration::from_millis(50);
    for (before, interval) in [(Duration::ZERO, TICK), (late, 2 * late)] {
        let hour = Duration::from_secs(3_600);
        let server = Arc::new(server(Jobs::default().create_delays(before, hour)).await);
        let client = giving_up(&server, "/batches", 1);
        let api = api(&server, TogetherLayer::default(), client).with_interval(interval);
        let outcomes = Batches::new(api).run((0..3).map(request));
        let outcomes: Vec<Outcome> = pin!(outcomes).collect().await;
        assert!(
            outcomes.iter().all(|outcome| outcome.result.is_ok()),
            "{outcomes:?}"
        );
        assert_eq!(server.jobs().len(), 1);
    }
}

#[tokio::test]
async fn an_upload_whose_response_is_lost_is_found_by_its_name() {
    let server = Arc::new(server(Jobs::default()).await);
    let client = giving_up(&server, "/files/upload", 1);
    let api = api(&server, TogetherLayer::default(), client);
    let outcomes: Vec<_> = pin!(Batches::new(api).run([request(0)])).collect().await;
    assert!(outcomes[0].result.is_ok(), "{outcomes:?}");
    assert_eq!(creates_at(&server, "/files/upload"), 1);
}

#[tokio::test]
async fn what_is_missing_is_named_with_its_batch_and_its_request() {
    for (fate, status, lost) in [
        (Fate::Expires, "EXPIRED", 2),
        (Fate::Fails, "FAILED", 4),
        (Fate::Cancelled, "CANCELLED", 4),
        (Fate::Vanishes, "gone", 4),
    ] {
        let server = server(Jobs::default().fates([fate])).await;
        let outcomes = run(&server, 100, (0..4).map(request).collect()).await;
        let job = server.jobs()[0].id.clone();
        let missing = missing(outcomes);
        assert_eq!(missing.len(), lost, "{fate:?}");
        for (number, (asked, reason)) in (4 - lost..).zip(missing) {
            assert_eq!(asked, request(number));
            assert!(reason.is_transient());
            assert!(
                matches!(&reason, Reason::Ended { batch, status: told, .. } if *batch == job && told == status),
                "{reason:?}"
            );
        }
    }
    let server = server(Jobs::default()).await;
    server.script("POST", "/files/upload", Answer::status(401));
    let rejected = missing(run(&server, 100, vec![request(0)]).await);
    assert!(
        matches!(rejected[0].1, Reason::NotUploaded(_)),
        "{rejected:?}"
    );
    let body = r#"{"error":{"message":"no batches for you"}}"#;
    server.script("POST", "/batches", Answer::status(403).body(body));
    let rejected = missing(run(&server, 100, vec![request(0)]).await);
    let Reason::NotCreated(why) = &rejected[0].1 else {
        panic!("{rejected:?}");
    };
    assert!(why.to_string().contains("no batches for you"));
    assert!(server.jobs().is_empty());
}

#[tokio::test]
async fn a_limiter_that_was_closed_is_not_asked_for_an_hour() {
    // Its batch takes ten minutes.
    let server = StandIn::start().await.unwrap();
    let limiter = Limiter::default();
    let api = api(&server, TogetherLayer::from(limiter.clone()), client());
    let outcomes = Batches::new(api).run([request(0)]);
    let closed = async {
        until("there is a batch", || !server.jobs().is_empty()).await;
        limiter.close();
    };
    let (outcomes, ()) = tokio::join!(outcomes.collect::<Vec<_>>(), closed);
    let (_, reason) = missing(outcomes).remove(0);
    assert!(
        matches!(&reason, Reason::Lost { message, .. } if message.contains("closed")),
        "{reason:?}"
    );
    assert_eq!(limiter.snapshot().refused, 1);
}

#[tokio::test]
async fn an_outage_longer_than_the_layers_are_patient_is_waited_out() {
    let server = server(Jobs::default()).await;
    let impatient = TogetherRetryLayer::default().with_max_retries(0);
    let layer = TogetherLayer::new(Limits::none()).with_retry(impatient);
    let api = api(&server, layer, client());
    let outage = async {
        until("there is a batch", || !server.jobs().is_empty()).await;
        server.outage(20 * TICK);
    };
    let outcomes = Batches::new(api).run([request(0)]);
    let (outcomes, ()) = tokio::join!(outcomes.collect::<Vec<_>>(), outage);
    assert!(outcomes[0].result.is_ok(), "{outcomes:?}");
}

#[tokio::test]
async fn requests_are_taken_as_batches_are_begun() {
    let server = server(Jobs::default()).await;
    let api = api(&server, TogetherLayer::default(), client());
    let taken = std::cell::Cell::new(0);
    let requests = (0..1_000).map(|number| {
        taken.set(number + 1);
        request(0)
    });
    let two = NonZeroUsize::new(2).unwrap();
    let outcomes = Batches::new(api)
        .with_size(NonZeroUsize::new(10).unwrap())
        .with_at_once(two)
        .run(requests);
    let mut outcomes = pin!(outcomes);
    assert!(outcomes.next().await.unwrap().result.is_ok());
    assert!(taken.get() <= 40, "{} were taken", taken.get());
    assert!(server.max_concurrent_jobs(JobKind::Batch) <= 2);
}
