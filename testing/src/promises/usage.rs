//! Promises of every response whose usage is read as it passes, for the fuzzer and for `tests/parsers`.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body::{Body, Frame};
use tower::{Layer, Service, service_fn};
use tower_together::{Endpoint, Limits, Quota, TogetherRateLimitLayer, extension::Cost};

/// Passes a body in the format of `corpus/`: a line with its content type and a number that decides how it is cut, then
/// the body. Whole, byte by byte and cut by that number, the body comes out unchanged and the same tokens are charged.
/// Returns the tokens: 7 if no usage was found.
pub fn check(input: &[u8]) -> u64 {
    let end = input.iter().position(|byte| *byte == b'\n');
    let (line, body) = input.split_at(end.unwrap_or(input.len()));
    let body = body.get(1..).unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let (kind, cut) = line.split_once(' ').unwrap_or((&line, "1"));
    let kind = match kind {
        "events" => "text/event-stream;charset=utf-8",
        _ => "application/json",
    };
    let cut = cut.trim().parse().unwrap_or(1);
    let whole = pass(kind, body, body.len());
    assert_eq!(pass(kind, body, 1), whole, "byte by byte");
    let pieces = pass(kind, body, cut);
    assert_eq!(pieces, whole, "cut by {cut}");
    whole
}

/// The tokens charged for a response with this body, cut into pieces of at most `longest` bytes.
fn pass(kind: &'static str, body: &[u8], longest: usize) -> u64 {
    let quota = Quota::per_minute(MOST).unwrap().unpaced();
    let limits = Limits::none().tokens(Endpoint::ChatCompletions, quota);
    let layer = TogetherRateLimitLayer::new(limits);
    let pieces = Pieces(cut(body, longest));
    let mut service = layer.layer(service_fn(|_: Request<()>| {
        let response = Response::builder().header(CONTENT_TYPE, kind);
        let response = response.body(pieces.clone()).unwrap();
        async { Ok::<_, Infallible>(response) }
    }));
    let request = Request::post("/v1/chat/completions").extension(Cost::of_tokens(7));
    let mut response = pin!(service.call(request.body(()).unwrap()));
    let response = ready(|cx| response.as_mut().poll(cx)).unwrap();
    let mut passed = Vec::new();
    let mut frames = pin!(response.into_body());
    while let Some(frame) = ready(|cx| frames.as_mut().poll_frame(cx)) {
        passed.extend_from_slice(frame.unwrap().data_ref().unwrap());
    }
    assert!(passed == body, "another body came out");
    let limit = layer.limiter().snapshot().lanes.remove(0).limits.remove(0);
    limit.max - limit.left
}

/// Cuts the body into pieces that shrink from `longest` bytes to one byte, and again.
fn cut(mut body: &[u8], longest: usize) -> VecDeque<Bytes> {
    let mut pieces = VecDeque::new();
    let mut length = longest.max(1);
    while !body.is_empty() {
        let (piece, rest) = body.split_at(length.min(body.len()));
        pieces.push_back(Bytes::copy_from_slice(piece));
        body = rest;
        length = if length == 1 {
            longest.max(1)
        } else {
            length - 1
        };
    }
    pieces
}

fn ready<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing is to be waited for"),
    }
}

#[derive(Clone)]
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

/// The largest quota per minute.
const MOST: u64 = 600_000_000;
