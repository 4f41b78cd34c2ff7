//! A slot is taken until the response has ended.

use std::{convert::Infallible, num::NonZeroU32, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, TogetherLayer, TogetherRateLimitLayer, limiter::Slot,
};

use crate::chat;

/// Promise: an open stream of server-sent events counts as in flight.
#[tokio::test(start_paused = true)]
async fn a_slot_is_held_until_the_body_ends() {
    let limits = Limits::none().in_flight(Endpoint::ChatCompletions, NonZeroU32::MIN);
    let service = TogetherRateLimitLayer::new(limits).layer(service_fn(|_| async {
        let frames = [Frame::data(Bytes::from("a")), Frame::data(Bytes::from("b"))];
        let frames = futures::stream::iter(frames.map(Ok::<_, Infallible>));
        Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
    }));
    let mut first = service.clone().oneshot(chat()).await.unwrap().into_body();
    let mut second = task::spawn(service.clone().oneshot(chat()));
    assert_pending!(second.poll());
    for expected in ["a", "b"] {
        let frame = first.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), expected);
        assert!(!second.is_woken());
    }
    assert!(first.frame().await.is_none());
    assert!(second.is_woken());
    // A response that was read to its end holds nothing, although it is not dropped yet.
    let response = assert_ready!(second.poll()).unwrap();
    let mut third = task::spawn(service.clone().oneshot(chat()));
    assert_pending!(third.poll());
    drop(response);
    assert!(third.is_woken());
    // The future is dropped after its call, before its response is seen.
    drop(third);
    service.clone().oneshot(chat()).await.unwrap();
    drop(first);
}

/// A caller that knows from `is_end_stream` that a frame was the last does not poll again: hyper does so.
#[tokio::test(start_paused = true)]
async fn a_slot_comes_back_with_the_last_frame() {
    let limits = Limits::none().in_flight(Endpoint::ChatCompletions, NonZeroU32::MIN);
    let layer = TogetherRateLimitLayer::new(limits);
    let service = layer.layer(service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("whole")))
    }));
    let mut body = service.oneshot(chat()).await.unwrap().into_body();
    let free = || layer.limiter().snapshot().lanes[0].limits[0].left;
    assert_eq!(free(), 0);
    body.frame().await.unwrap().unwrap();
    assert_eq!(free(), 1);
}

/// A stream that its server had forgotten held its slot for ever.
#[tokio::test(start_paused = true)]
async fn a_silent_response_gives_its_slot_back_and_goes_on() {
    const MINUTES: Duration = Duration::from_secs(60);
    let tokens = Quota::per_minute(1_000_000).unwrap();
    for limits in [
        Limits::none(),
        // Its body is watched for its usage then.
        Limits::none().tokens(Endpoint::ChatCompletions, tokens),
    ] {
        let limits = limits.in_flight(Endpoint::ChatCompletions, NonZeroU32::MIN);
        let layer = TogetherRateLimitLayer::new(limits);
        let service = layer.layer(service_fn(|_: Request<Empty<Bytes>>| async {
            let pieces = [9, 9, 25].map(|minutes| (minutes * MINUTES, Bytes::from("data: {}\n\n")));
            let pieces = futures::stream::iter(pieces).then(async |(after, piece)| {
                sleep(after).await;
                Ok::<_, Infallible>(Frame::data(piece))
            });
            Ok::<_, Infallible>(Response::new(StreamBody::new(Box::pin(pieces))))
        }));
        let start = Instant::now();
        let mut first = service.clone().oneshot(chat()).await.unwrap().into_body();
        let next = tokio::spawn(service.clone().oneshot(chat()));
        for at in [9, 18, 43] {
            first.frame().await.unwrap().unwrap();
            assert_eq!(start.elapsed().as_secs(), at * 60);
            // It has left ten minutes after the second piece.
            assert_eq!(next.is_finished(), at == 43);
        }
        // It has its own slot: the end of the first gives back no other.
        let second = next.await.unwrap().unwrap();
        let free = || {
            let limits = layer.limiter().snapshot().lanes.remove(0).limits;
            limits.iter().map(|limit| limit.left).min().unwrap()
        };
        assert!(first.frame().await.is_none());
        drop(first);
        assert_eq!(free(), 0);
        drop(second);
        assert_eq!(free(), 1);
    }
}

/// The body is not read, so it is unknown whether its server is silent.
#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_read_or_has_no_bound_keeps_its_slot() {
    let limits = || Limits::none().in_flight(Endpoint::ChatCompletions, NonZeroU32::MIN);
    let unbounded = Limiter::new(limits()).with_max_silence(Duration::MAX);
    for (limiter, reads) in [(Limiter::new(limits()), false), (unbounded, true)] {
        let service = TogetherRateLimitLayer::from(limiter).layer(service_fn(
            |_: Request<Empty<Bytes>>| async {
                let silent = futures::stream::pending::<Result<Frame<Bytes>, Infallible>>();
                Ok::<_, Infallible>(Response::new(StreamBody::new(silent)))
            },
        ));
        let first = service.clone().oneshot(chat()).await.unwrap();
        let first = tokio::spawn(async move {
            match reads {
                true => drop(first.into_body().frame().await),
                false => std::future::pending().await,
            }
        });
        let second = tokio::spawn(service.clone().oneshot(chat()));
        sleep(Duration::from_secs(24 * 3_600)).await;
        assert!(!second.is_finished());
        first.abort();
        second.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_given_back_when_the_call_fails_or_is_dropped() {
    let limits = Limits::none().in_flight(Endpoint::ChatCompletions, NonZeroU32::MIN);
    let layer = TogetherRateLimitLayer::new(limits);
    let failing = layer.layer(service_fn(|_: Request<Empty<Bytes>>| async {
        Err::<Response<Empty<Bytes>>, _>("reset")
    }));
    for _ in 0..3 {
        assert_eq!(failing.clone().oneshot(chat()).await.unwrap_err(), "reset");
    }
    let hanging = layer.layer(service_fn(|_: Request<Empty<Bytes>>| {
        std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>()
    }));
    for _ in 0..3 {
        let mut call = task::spawn(hanging.clone().oneshot(chat()));
        assert_pending!(call.poll());
        assert_eq!(layer.limiter().snapshot().lanes[0].limits[0].left, 0);
        drop(call);
        assert_eq!(layer.limiter().snapshot().lanes[0].limits[0].left, 1);
    }
}

/// A WebSocket's slot was free while the socket was open.
#[tokio::test(start_paused = true)]
async fn the_slot_of_a_websocket_can_be_kept_as_long_as_the_socket() {
    let limits = Limits::none().in_flight(Endpoint::SpeechRealtime, NonZeroU32::MIN);
    let layer = TogetherLayer::new(limits);
    let service = layer.layer(service_fn(async |_: Request<Empty<Bytes>>| {
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        Ok::<_, Infallible>(response)
    }));
    let open = || {
        let request = Request::get("/v1/audio/speech/websocket").body(Empty::new());
        service.clone().oneshot(request.unwrap())
    };
    let mut first = open().await.unwrap();
    let slot = first.extensions_mut().remove::<Slot>();
    assert!(slot.is_some());
    drop(first);
    let mut second = task::spawn(open());
    assert_pending!(second.poll());
    drop(slot);
    // The slot is given back with the response, unless its `Slot` is kept.
    let second = assert_ready!(second.poll()).unwrap();
    let mut third = task::spawn(open());
    assert_pending!(third.poll());
    drop(second);
    assert_ready!(third.poll()).unwrap();
}
