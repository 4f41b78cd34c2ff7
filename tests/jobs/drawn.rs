//! Creates whose responses arrive in parts, are read or dropped at any point, and meet changes of table.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    num::NonZeroU32,
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use futures::{StreamExt, stream};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{Full, StreamBody};
use tokio::time::{advance, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{
    Endpoint, Limiter, Limits, TogetherRateLimitLayer,
    limiter::{LimitSnapshot, Measure},
};

use super::{HOUR, SECOND, create};

type Parts = Vec<(u64, Result<String, &'static str>)>;
type Read = Pin<Box<dyn Body<Data = Bytes, Error = &'static str>>>;

/// A create without a response yet, or a response that is read. A body at its end is kept, but not polled.
enum Sent {
    Called(Pin<Box<dyn Future<Output = Read>>>),
    Responded(Read),
}

const CREATE: Endpoint = Endpoint::FineTuneCreate;
const IN_FLIGHT: u64 = 2;
const JOBS: u64 = 3;

/// Limits to requests in flight and to jobs; or neither.
fn limits(rng: &mut Rng) -> Limits {
    let [in_flight, jobs] = [IN_FLIGHT, JOBS].map(|max| NonZeroU32::new(max as u32).unwrap());
    match rng.u8(0..4) {
        0 => Limits::none().in_flight(CREATE, in_flight),
        _ => Limits::none()
            .in_flight(CREATE, in_flight)
            .jobs(CREATE, jobs),
    }
}

/// A response: its status, and its parts, each with the milliseconds since the one before.
fn reply(rng: &mut Rng) -> (u16, Parts) {
    let id = format!(r#"{{"id":"ft-{}","#, rng.u8(0..4));
    let rest = || Ok(r#""status":"running"}"#.to_owned());
    let late = rng.u64(0..900) * 1_000;
    match rng.u8(0..8) {
        0 | 1 => (200, vec![(0, Ok(format!(r#"{id}"status":"running"}}"#)))]),
        2 => (200, vec![(0, Ok(id)), (late, rest())]),
        3 => (201, vec![(2_000, Ok(id)), (2_000, rest())]),
        4 => (200, vec![(0, Ok(id)), (late, Err("the connection broke"))]),
        5 => (204, vec![]),
        6 => (
            500,
            vec![
                (rng.u64(0..3_000), Ok("oops".into())),
                (late, Ok(String::new())),
            ],
        ),
        _ => (
            409,
            vec![(
                0,
                Ok(r#"{"error":{"message":"too many running jobs"}}"#.into()),
            )],
        ),
    }
}

fn limit(limiter: &Limiter, measure: Measure) -> Option<LimitSnapshot> {
    let lane = limiter.snapshot().lanes.into_iter().next()?;
    lane.limits
        .into_iter()
        .find(|limit| limit.measure == measure)
}

/// Polls once. Returns whether the create is no longer in flight.
async fn poll(sent: &mut Sent) -> bool {
    poll_fn(|cx| {
        Poll::Ready(match sent {
            Sent::Called(response) => {
                if let Poll::Ready(body) = response.as_mut().poll(cx) {
                    *sent = Sent::Responded(body);
                }
                matches!(sent, Sent::Responded(body) if body.is_end_stream())
            }
            Sent::Responded(body) => match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
                polled => polled.is_ready(),
            },
        })
    })
    .await
}

async fn run(seed: u64) {
    let rng = &mut Rng::with_seed(seed);
    let limiter = Limiter::new(limits(rng)).with_max_silence(Duration::MAX);
    let left = Arc::new(Mutex::new(0));
    let (counts, replies) = (Arc::clone(&left), Arc::new(Mutex::new(rng.fork())));
    let layer = TogetherRateLimitLayer::from(limiter.clone());
    let service = layer.layer(service_fn(move |_: Request<Full<Bytes>>| {
        *counts.lock().unwrap() += 1;
        let (status, parts) = reply(&mut replies.lock().unwrap());
        let frames = stream::iter(parts).then(async |(behind, part)| {
            sleep(Duration::from_millis(behind)).await;
            part.map(|part| Frame::data(Bytes::from(part)))
        });
        let response = Response::builder().status(status);
        let response = response.body(StreamBody::new(Box::pin(frames))).unwrap();
        async { Ok::<_, Infallible>(response) }
    }));
    let (mut open, mut ended) = (Vec::new(), Vec::new());
    let mut gone = 0;
    for _ in 0..60 {
        match rng.u8(0..8) {
            0..3 => {
                let response = service.clone().oneshot(create("one"));
                let body = async { Box::pin(response.await.unwrap().into_body()) as Read };
                open.push((false, Sent::Called(Box::pin(body))));
            }
            3 => advance(SECOND * rng.u32(0..1_000)).await,
            4 => advance(Duration::from_millis(rng.u64(1..3_000))).await,
            5 => drop(limiter.job_ended(&format!("ft-{}", rng.u8(0..4)))),
            6 => limiter.set_limits(limits(rng)),
            _ if open.is_empty() => {}
            _ => {
                let (has_left, _) = open.swap_remove(rng.usize(..open.len()));
                gone += u64::from(has_left);
            }
        }
        for (mut has_left, mut sent) in std::mem::take(&mut open) {
            let before = *left.lock().unwrap();
            let is_over = poll(&mut sent).await;
            has_left |= *left.lock().unwrap() > before;
            if is_over {
                gone += 1;
                ended.push(sent);
            } else {
                open.push((has_left, sent));
            }
        }
        let in_flight = *left.lock().unwrap() - gone;
        let free = limit(&limiter, Measure::InFlight).map_or(IN_FLIGHT, |limit| limit.left);
        assert_eq!(free, IN_FLIGHT - in_flight, "seed {seed}");
        // Each job that is known has a slot.
        if let Some(jobs) = limit(&limiter, Measure::Jobs) {
            let known = limiter.snapshot().jobs.len() as u64;
            assert!(jobs.left <= JOBS.saturating_sub(known), "seed {seed}");
        }
    }
    drop(open);
    for n in 0..4 {
        limiter.job_ended(&format!("ft-{n}"));
    }
    // Jobs without a name are believed for an hour.
    advance(HOUR).await;
    for measure in [Measure::InFlight, Measure::Jobs] {
        if let Some(limit) = limit(&limiter, measure) {
            assert_eq!(limit.left, limit.max, "seed {seed}: {measure:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_slot_comes_back_once_whatever_becomes_of_a_response() {
    for seed in 0..200 {
        run(seed).await;
    }
}
