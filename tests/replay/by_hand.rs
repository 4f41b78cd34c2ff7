//! Two attempts at one body, step by step: which task is woken, and which bytes are kept.

use std::{convert::Infallible, io, task::Poll};

use bytes::Bytes;
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use tokio_test::task;
use tower_together::body::{ReplayBuffer, RequestBody};

use crate::{
    hand::{Hand, WHOLE, next},
    world::used,
};

/// Not when it asks for more the next time, which may be never.
#[test]
fn an_attempt_that_is_given_up_is_told_at_once() {
    let (hand, _) = Hand::<io::Error>::new();
    let (first, kept) = UnsyncBoxBody::new(hand).replayable(&ReplayBuffer::default());
    let mut first = task::spawn(first);
    assert!(next(&mut first).is_pending());
    let _second = UnsyncBoxBody::again(&kept).unwrap();
    assert!(first.is_woken());
    assert!(matches!(next(&mut first), Poll::Ready(Some(Err(_)))));
}

/// The source owes a wake only to the task that polled it last.
#[test]
fn what_one_attempt_reads_wakes_the_other() {
    let (hand, frames) = Hand::<Infallible>::new();
    let (first, kept) = UnsyncBoxBody::new(hand).replayable(&ReplayBuffer::default());
    let mut first = task::spawn(first);
    let mut second = task::spawn(UnsyncBoxBody::again(&kept).unwrap());
    assert!(next(&mut first).is_pending());
    frames.lock().unwrap().push_back("a".into());
    assert!(matches!(next(&mut second), Poll::Ready(Some(Ok(frame))) if frame == "a"));
    assert!(first.is_woken());
    assert!(matches!(next(&mut first), Poll::Ready(Some(Ok(frame))) if frame == "a"));
}

/// A response has arrived, and there will be no further attempt.
#[test]
fn what_is_let_go_of_is_recorded_no_more() {
    let memory = ReplayBuffer::default();
    let (hand, frames) = Hand::<Infallible>::new();
    frames
        .lock()
        .unwrap()
        .extend(["a", "b", "c"].map(Bytes::from));
    let (first, kept) = UnsyncBoxBody::new(hand).replayable(&memory);
    let mut first = task::spawn(first);
    assert!(next(&mut first).is_ready());
    assert_eq!(used(&memory), 1);
    // An attempt that is behind needs the record, and all of it is reserved in advance.
    let mut second = task::spawn(UnsyncBoxBody::again(&kept).unwrap());
    assert_eq!(used(&memory), WHOLE);
    drop(kept);
    assert!(next(&mut second).is_ready() && next(&mut second).is_ready());
    assert_eq!(used(&memory), WHOLE);
    drop(first);
    assert!(next(&mut second).is_ready());
    assert_eq!(used(&memory), 0);
}

/// Any number of empty frames fits into the bytes that were reserved in advance.
#[test]
fn an_attempt_whose_frames_come_to_need_too_much_gets_no_further_and_the_next_one_does() {
    let memory = ReplayBuffer::new(1_000, 1_000);
    let (hand, frames) = Hand::<Infallible>::new();
    let (first, kept) = UnsyncBoxBody::new(hand).replayable(&memory);
    let mut first = task::spawn(first);
    let mut second = task::spawn(UnsyncBoxBody::again(&kept).unwrap());
    frames.lock().unwrap().extend(vec![Bytes::new(); 1_000]);
    let read = |task: &mut _| {
        let frames = std::iter::repeat_with(|| next(task)).take_while(Poll::is_ready);
        frames.count()
    };
    // Past the 64th, 900 bytes hold seven, and the eighth is one too many.
    assert_eq!(read(&mut first), 72);
    assert!(!first.is_end_stream());
    assert!(UnsyncBoxBody::again(&kept).is_none());
    assert_eq!(read(&mut second), 1_000);
    assert_eq!(read(&mut first), 0);
    frames.lock().unwrap().push_back("a".into());
    assert!(matches!(next(&mut second), Poll::Ready(Some(Ok(frame))) if frame == "a"));
    drop((first, kept));
    assert!(used(&memory) <= 1_000);
    drop(second);
    assert_eq!(used(&memory), 0);
}
