//! Bodies kept for retries, and the memory that they use.

use std::{
    convert::Infallible,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use allocation_counter::measure;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{body::ReplayBuffer, extension::Retries};

use super::{CHAT, exact};

type Streamed = UnsyncBoxBody<Bytes, io::Error>;

fn upload(frames: usize, each: usize) -> Request<Streamed> {
    let frame = move |_| Ok(Frame::data(Bytes::from(vec![b'x'; each])));
    let body = StreamBody::new(stream::iter(0..frames).map(frame));
    Request::post(CHAT).body(UnsyncBoxBody::new(body)).unwrap()
}

/// The most bytes that were allocated at once while an upload was read whole and got a 502, and the number of attempts.
fn send(request: Request<Streamed>) -> (u64, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let client = service_fn(move |request: Request<Streamed>| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                frame.unwrap();
            }
            let mut response = Response::new(Full::<Bytes>::default());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            Ok::<_, Infallible>(response)
        }
    });
    let service = exact().layer(client);
    let allocated = measure(|| {
        runtime.block_on(service.oneshot(request)).unwrap();
    });
    (allocated.bytes_max, sent.load(Ordering::Relaxed))
}

/// A future may be kept after its response, as in a `join_all`.
#[tokio::test]
async fn the_memory_of_a_request_is_free_once_its_response_is_returned() {
    let memory = ReplayBuffer::new(1, 1);
    let client = service_fn(|_: Request<Vec<u8>>| async {
        assert!(memory.reserve(1).is_none());
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let mut service = exact().with_replay_buffer(memory.clone()).layer(client);
    let mut future = pin!(service.call(Request::post(CHAT).body(vec![b'x']).unwrap()));
    future.as_mut().await.unwrap();
    assert!(memory.reserve(1).is_some());
}

/// An upload in frames of one byte took 150 times its size, and empty frames had no bound at all.
#[test]
fn small_frames_count_for_what_they_take() {
    for (frames, each, attempts) in [
        (1 << 18, 1, 1),
        (1 << 18, 0, 1),
        (1 << 17, 16, 1),
        (128, 16 << 10, 5),
        (1 << 10, 1, 5),
        (64, 0, 5),
    ] {
        let (bytes, sent) = send(upload(frames, each));
        assert!(bytes < 5 << 20, "{frames} of {each}: {bytes}");
        assert_eq!(sent, attempts, "{frames} of {each}");
    }
}

#[test]
fn nothing_is_kept_of_a_request_that_is_sent_once() {
    let mut once = upload(128, 16 << 10);
    once.extensions_mut().insert(Retries::off());
    let (bytes, sent) = send(once);
    assert!(bytes < 64 << 10, "{bytes}");
    assert_eq!(sent, 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_empty_frames_without_end_is_returned_or_retried() {
    for (code, attempts) in [(404, 1), (502, 5)] {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let client = service_fn(move |_: Request<Streamed>| {
            count.fetch_add(1, Ordering::Relaxed);
            let frames = stream::repeat_with(|| Ok::<_, Infallible>(Frame::data(Bytes::new())));
            let mut response = Response::new(StreamBody::new(frames));
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let response = exact().layer(client).oneshot(upload(1, 1)).await.unwrap();
        assert_eq!(response.status(), code);
        assert_eq!(sent.load(Ordering::Relaxed), attempts);
    }
}
