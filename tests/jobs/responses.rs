//! The responses that are read before the caller gets them.

use std::{convert::Infallible, num::NonZeroU32, pin::pin, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{Endpoint, Limiter, Limits, TogetherRateLimitLayer, jobs::JobsApi};

use super::{HOUR, SECOND, create};

#[tokio::test(start_paused = true)]
async fn a_response_to_a_creation_is_read_only_if_it_may_tell_of_a_job_that_holds_a_slot() {
    let jobs = Limits::none().jobs(Endpoint::FineTuneCreate, NonZeroU32::MIN);
    for (limits, status, read) in [
        (jobs.clone(), 200, true),
        (jobs, 302, false),
        (Limits::none(), 200, false),
    ] {
        let endless = service_fn(move |_: Request<Full<Bytes>>| async move {
            let frames = stream::pending::<Result<Frame<Bytes>, Infallible>>();
            let response = Response::builder().status(status);
            Ok::<_, Infallible>(response.body(StreamBody::new(frames)).unwrap())
        });
        let service = TogetherRateLimitLayer::new(limits).layer(endless);
        let start = Instant::now();
        service.oneshot(create("s")).await.unwrap();
        assert_eq!(start.elapsed() > Duration::ZERO, read, "{status}");
    }
}

/// A response to a create: its parts, each with the delay after the one before; `None` breaks it off.
type Parts = &'static [(u64, Option<&'static str>)];

/// A service that gives this response to creates, a second one included, and a list to all other requests.
fn server(
    parts: Parts,
    list: &'static str,
    limiter: &Limiter,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<impl Body<Data = Bytes, Error = &'static str>>,
    Error = Infallible,
> + Clone {
    let server = service_fn(move |request: Request<Full<Bytes>>| async move {
        let list: &[_] = &[(0, Some(list))];
        let parts = match *request.method() {
            Method::POST => parts,
            _ => list,
        };
        let parts = parts.to_vec();
        let frames = stream::iter(parts).then(async |(behind, part)| {
            sleep(Duration::from_millis(behind)).await;
            let part = part.ok_or("the connection broke")?;
            Ok(Frame::data(Bytes::from(part)))
        });
        let response = Response::builder().header("content-type", "application/json");
        Ok::<_, Infallible>(response.body(StreamBody::new(Box::pin(frames))).unwrap())
    });
    TogetherRateLimitLayer::from(limiter.clone()).layer(server)
}

/// A response longer than 16 KiB.
fn long() -> Parts {
    let events = "x".repeat(40_000);
    let job = format!(r#"{{"events":"{events}","id":"ft-1","status":"running"}}"#);
    Vec::leak(vec![(0, Some(&*job.leak()))])
}

fn one_job() -> Limiter {
    Limiter::new(Limits::none().jobs(Endpoint::FineTuneCreate, NonZeroU32::MIN))
}

const HALF: &str = r#"{"id":"ft-1","#;
const REST: &str = r#""status":"running"}"#;

/// The slot of a job was free again as soon as the response to its create was not read at once.
#[tokio::test(start_paused = true)]
async fn a_job_named_late_in_a_response_keeps_its_slot_until_it_ends() {
    for parts in [
        long(),
        &[(0, Some(HALF)), (1_500, Some(REST))],
        &[(3_000, Some(HALF)), (3_000, Some(REST))],
        &[(0, Some(r#"{"id":"ft-1"}"#))],
        &[(0, Some(r#"{"job":{"id":"ft-1","progress":NaN}}"#))],
    ] {
        let limiter = one_job();
        let client = server(parts, "[]", &limiter);
        let response = client.clone().oneshot(create("one")).await.unwrap();
        response.into_body().collect().await.unwrap();
        let jobs = limiter.snapshot().jobs;
        assert_eq!(jobs.len(), 1, "{parts:?}");
        assert_eq!(&*jobs[0].id, "ft-1");
        let mut next = pin!(client.oneshot(create("two")));
        assert!(timeout(10 * HOUR, &mut next).await.is_err(), "{parts:?}");
        limiter.job_ended("ft-1");
        timeout(HOUR, next).await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_of_a_create_whose_response_cannot_be_read_keeps_its_slot_for_an_hour() {
    for parts in [
        &[(0, Some(HALF))][..],
        &[(0, Some(HALF)), (0, None)],
        &[(0, Some(HALF)), (1_500, None)],
        &[(0, Some("<html>"))],
        &[(0, Some(""))],
        &[(0, Some(r#"{"id":7,"status":"running"}"#))],
        &[(0, Some(r#"{"status":"running"}"#))],
    ] {
        for is_read in [true, false] {
            let limiter = one_job();
            let client = server(parts, "[]", &limiter);
            let response = client.clone().oneshot(create("one")).await.unwrap();
            if is_read {
                let _ = response.into_body().collect().await;
            } else {
                drop(response);
            }
            let start = Instant::now();
            client.oneshot(create("two")).await.unwrap();
            let waited = start.elapsed();
            assert!(
                HOUR - SECOND < waited && waited < HOUR + 2 * SECOND,
                "{parts:?} {waited:?}"
            );
        }
    }
    // A response that names no job has created none.
    for nothing in [
        r#"{"warning":"nothing was made"}"#,
        "[]",
        r#"{"error":{"message":"later"}}"#,
    ] {
        for behind in [0, 1_500] {
            let parts = Vec::leak(vec![(behind, Some(nothing))]);
            let limiter = one_job();
            let client = server(parts, "[]", &limiter);
            let start = Instant::now();
            for _ in 0..2 {
                let response = client.clone().oneshot(create("one")).await.unwrap();
                response.into_body().collect().await.unwrap();
            }
            assert!(start.elapsed() < 4 * SECOND, "{nothing}");
        }
    }
}

/// The body had ended with its head, and its request was in flight until it was dropped.
#[tokio::test(start_paused = true)]
async fn a_create_whose_response_has_no_body_is_in_flight_no_longer() {
    let (one, two) = (NonZeroU32::MIN, NonZeroU32::new(2).unwrap());
    let limits = Limits::none().in_flight(Endpoint::FineTuneCreate, one);
    let limits = limits.jobs(Endpoint::FineTuneCreate, two);
    let service = TogetherRateLimitLayer::new(limits).layer(service_fn(async |_| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let start = Instant::now();
    // The jobs of the first two may exist, so they have slots.
    let mut kept = Vec::new();
    for hours in [0, 0, 1] {
        let response = timeout(2 * HOUR, service.clone().oneshot(create("one")));
        kept.push(response.await.expect("a slot is held").unwrap());
        assert_eq!(start.elapsed().as_secs() / 3_600, hours);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_not_known_yet_is_known_once_the_server_is_asked() {
    let running = r#"{"data":[{"id":"ft-1","status":"running"}]}"#;
    let ended = r#"{"data":[{"id":"ft-1","status":"completed"}]}"#;
    for (list, runs) in [(running, true), (ended, false), ("[]", false)] {
        let limiter = one_job();
        let client = server(&[(0, Some("<html>"))], list, &limiter);
        drop(client.clone().oneshot(create("one")).await.unwrap());
        assert_eq!(limiter.snapshot().lanes[0].limits[0].left, 0);
        sleep(SECOND).await;
        let jobs = JobsApi::new(client.clone()).with_base("http://together/v1");
        let known = limiter
            .sync_jobs(jobs.unwrap().with_key("key").unwrap())
            .await;
        assert_eq!(known.unwrap(), usize::from(runs), "{list}");
        assert_eq!(limiter.snapshot().lanes[0].limits[0].left, u64::from(!runs));
        // It has one slot, not two.
        limiter.job_ended("ft-1");
        timeout(SECOND, client.oneshot(create("two")))
            .await
            .unwrap()
            .unwrap();
    }
}
