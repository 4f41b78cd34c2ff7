//! A body in any pieces.

use std::{convert::Infallible, io, time::Duration};

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{HeaderMap, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::{runtime::Builder, time::sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{
    ApiError, Endpoint, TogetherFallbackLayer, TogetherRateLimitLayer, TogetherRetryLayer,
};

use crate::{EVENTS, JSON, TOO_FAST, chat, limits};

/// A body as a server, a proxy and layers may give it: its type, its pieces with the time before each, and whether it
/// breaks off or has trailers.
fn any_body() -> impl Strategy<Value = (&'static str, Vec<(u64, Vec<u8>)>, Last)> {
    let line = format!("data: {TOO_FAST}");
    let piece = [
        &*line,
        &*line,
        TOO_FAST,
        "{\"choices\":[]}",
        "data:",
        "data: ",
        "event: error",
        ": hello",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "\r\n\r\n",
        "[DONE]",
        "\u{feff}",
        " ",
        "{",
        "}",
        "\"error\"",
        "{\"error\":",
        "null",
        "{\"code\":503}",
        "id: 1",
    ];
    let piece = select(piece.map(str::to_owned).to_vec());
    let text = vec(piece, 0..9).prop_map(|pieces| pieces.concat().into_bytes());
    let cuts = vec((0..12_usize, prop_oneof![Just(0_u64), 0..700_u64]), 0..9);
    (
        select(vec![JSON, EVENTS]),
        text,
        cuts,
        select(vec![Last::Ends, Last::Fails, Last::Trailers]),
    )
        .prop_map(|(kind, text, cuts, last)| {
            let (mut rest, mut pieces) = (&text[..], Vec::new());
            for (length, wait) in cuts {
                let (piece, after) = rest.split_at(length.min(rest.len()));
                pieces.push((wait, piece.to_vec()));
                rest = after;
            }
            pieces.push((0, rest.to_vec()));
            (kind, pieces, last)
        })
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Last {
    Ends,
    Fails,
    Trailers,
}

proptest! {
    /// The caller gets the whole body unchanged, and the lane gets a report of all of it.
    #[test]
    fn any_body_is_handed_on_whole_and_read_as_a_whole((kind, pieces, last) in any_body(), wait in 0..3_u64) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let text: Vec<u8> = pieces.iter().flat_map(|(_, piece)| piece.clone()).collect();
        let (throttled, seen, end) = runtime.block_on(async {
            let layer = TogetherRateLimitLayer::new(limits());
            let service = service_fn(async |_: Request<Full<Bytes>>| {
                let frames = stream::iter(pieces.clone()).then(async |(wait, bytes)| {
                    sleep(Duration::from_millis(wait)).await;
                    Ok(Frame::data(Bytes::from(bytes)))
                });
                let end = stream::iter(match last {
                    Last::Ends => None,
                    Last::Fails => Some(Err(io::Error::other("reset"))),
                    Last::Trailers => Some(Ok(Frame::trailers(HeaderMap::new()))),
                });
                let response = Response::builder().header(CONTENT_TYPE, kind);
                Ok::<_, Infallible>(response.body(StreamBody::new(frames.chain(end).boxed())).unwrap())
            });
            let retry = TogetherRetryLayer::default().with_max_retries(0).with_first_frame(Duration::from_millis(wait * 300));
            let fallback = TogetherFallbackLayer::new().with_chain("m", Vec::<&str>::new());
            let service = fallback.layer(retry.layer(layer.layer(service)));
            let response = service.oneshot(chat()).await.unwrap();
            let mut body = response.into_body();
            let (mut seen, mut end) = (Vec::new(), Last::Ends);
            while let Some(frame) = body.frame().await {
                match frame.map(Frame::into_data) {
                    Ok(Ok(data)) => seen.extend_from_slice(&data),
                    Ok(Err(_)) => end = Last::Trailers,
                    Err(_) => end = Last::Fails,
                }
            }
            drop(body);
            (layer.limiter().snapshot().lanes[0].throttled_count, seen, end)
        });
        prop_assert_eq!(&seen, &text);
        prop_assert_eq!(end, last);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        let error = ApiError::in_band(Endpoint::ChatCompletions, StatusCode::OK, &headers, &text);
        let is_429 = error.is_some_and(|error| error.status() == StatusCode::TOO_MANY_REQUESTS);
        prop_assert_eq!(throttled, u64::from(is_429));
    }
}
