//! Attempts at one body, step by step.

use std::{
    convert::Infallible,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::ETAG};
use http_body::{Body, Frame};
use http_body_util::{
    BodyExt, Full, StreamBody,
    combinators::{BoxBody, Collect, UnsyncBoxBody},
};
use tokio_test::{
    assert_pending, assert_ready,
    task::{self, Spawn},
};
use tower_together::body::{Opaque, ReplayBuffer, RequestBody};

use crate::{
    attempt::Woken,
    source::{Meanwhile, Script, Size, Source, Tap},
    story::{
        Step::{self, Again, Open, Settle, Wake},
        Story,
    },
    world::{play, used},
};

/// github.com/linkerd/linkerd2/issues/15649: the first bytes that an attempt read were sent twice if it began before
/// the previous attempt had read anything.
#[tokio::test]
async fn a_retry_that_begins_before_anything_was_read_sends_everything_once() {
    for is_dropped in [false, true] {
        let (first, kept) = streamed(&["AAAA", "BBBB"]).replayable(&ReplayBuffer::default());
        let first = Some(first).filter(|_| !is_dropped);
        let again = Streamed::again(&kept).unwrap();
        assert_eq!(again.collect().await.unwrap().to_bytes(), "AAAABBBB");
        let again = Streamed::again(&kept).unwrap();
        assert_eq!(again.collect().await.unwrap().to_bytes(), "AAAABBBB");
        drop(first);
    }
}

#[tokio::test]
async fn an_attempt_that_was_given_up_fails_and_never_looks_complete() {
    let (mut first, kept) = streamed(&["a", "b"]).replayable(&ReplayBuffer::default());
    assert_eq!(data(&mut first).await.unwrap(), "a");
    let again = Streamed::again(&kept).unwrap();
    // Recording has stopped, so the record is empty.
    drop(kept);
    assert_eq!(again.collect().await.unwrap().to_bytes(), "ab");
    assert!(!first.is_end_stream());
    let error = data(&mut first).await.unwrap_err();
    assert!(error.to_string().contains("given up"), "{error}");
}

/// An abandoned attempt that cannot be told so gets the rest, whichever attempt reads it first.
#[tokio::test]
async fn an_attempt_that_cannot_be_told_reads_on_to_the_true_end() {
    let body = || Full::<Bytes>::from("whole").boxed();
    for first_of_all in [true, false] {
        let (first, kept) = body().replayable(&ReplayBuffer::default());
        let again = BoxBody::again(&kept).unwrap();
        let (one, other) = match first_of_all {
            true => (first, again),
            false => (again, first),
        };
        assert_eq!(one.collect().await.unwrap().to_bytes(), "whole");
        assert_eq!(other.collect().await.unwrap().to_bytes(), "whole");
    }
    // It may come to need what has no room: then there is no second attempt beside it.
    let (first, kept) = body().replayable(&ReplayBuffer::new(5, 4));
    assert!(BoxBody::again(&kept).is_none());
    assert_eq!(first.collect().await.unwrap().to_bytes(), "whole");
}

/// It woke itself each time it found nothing, and so was polled without an end.
#[test]
fn an_attempt_that_reads_on_waits_for_the_source_like_any_other() {
    let steps = vec![Again, Settle, Open(1), Wake, Settle];
    play(&story(steps), false, boxed);
}

/// The source woke a task before the other attempt arrived, and wakes only once.
#[test]
fn who_comes_while_another_reads_and_finds_nothing_is_woken() {
    for steps in [
        vec![Open(1), Wake, Step::Poll(0)],
        vec![Open(1), Wake, Step::Poll(1)],
        vec![Step::Poll(0), Step::Poll(1), Open(1), Wake],
    ] {
        for reads in [0, 1] {
            let meanwhile = Step::Meanwhile(steps.clone());
            // The reading attempt is not polled again.
            let steps = vec![Again, meanwhile, Step::Poll(reads), Step::Drop(reads)];
            play(&story(steps), false, boxed);
        }
    }
}

#[tokio::test]
async fn what_does_not_fit_is_sent_once_and_whole() {
    let memory = ReplayBuffer::new(5, 100);
    let (mut first, kept) = streamed(&["abc", "def", "g"]).replayable(&memory);
    let abc = data(&mut first).await.unwrap();
    assert_eq!(abc, "abc");
    assert_eq!(used(&memory), 3);
    // Its length was not known yet.
    assert_eq!(data(&mut first).await.unwrap(), "def");
    assert_eq!(used(&memory), 0);
    assert!(abc.is_unique(), "it is still in the record");
    assert!(Streamed::again(&kept).is_none());
    assert_eq!(first.collect().await.unwrap().to_bytes(), "g");

    // This one's length is known from the start.
    let (first, kept) = Full::<Bytes>::from("abcdefg").boxed().replayable(&memory);
    assert!(kept.is_none() && BoxBody::again(&kept).is_none());
    assert_eq!(first.collect().await.unwrap().to_bytes(), "abcdefg");

    // Here the trailers are too much.
    let trailers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static("x"))]);
    let body = streamed(&["a"]).with_trailers(async { Some(Ok(trailers)) });
    let (first, kept) = Streamed::new(body).replayable(&memory);
    let first = first.collect().await.unwrap();
    assert_eq!(first.trailers().unwrap()[ETAG], "x");
    assert!(Streamed::again(&kept).is_none());
}

#[tokio::test]
async fn bodies_share_the_memory_and_give_it_back() {
    let memory = ReplayBuffer::new(4, 6);
    let kept = || async {
        let (mut body, kept) = streamed(&["abcd", "e"]).replayable(&memory);
        data(&mut body).await.unwrap();
        (body, kept)
    };
    let one = kept().await;
    let other = kept().await;
    assert!(Streamed::again(&one.1).is_some());
    assert!(Streamed::again(&other.1).is_none());
    drop(one);
    assert!(Streamed::again(&kept().await.1).is_some());
}

#[test]
fn whoever_is_polled_often_is_woken_once() {
    let tap = Arc::<Tap>::default();
    let source = Source::<Infallible>::new(&Arc::new(script()), &tap);
    let (mut first, _kept) = BoxBody::new(source).replayable(&ReplayBuffer::default());
    let woken = Woken::yes();
    let waker = Waker::from(Arc::clone(&woken));
    for _ in 0..100 {
        let polled = Pin::new(&mut first).poll_frame(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    // Once here, once above, and once where it waits.
    assert_eq!(Arc::strong_count(&woken), 3);
    tap.wake();
    assert_eq!(Arc::strong_count(&woken), 2);
}

/// Wakers of one task may differ, as tokio's sometimes do in optimised programs. All were kept: an upload of 262,144
/// frames took 12 MiB for them and 18 seconds.
#[test]
fn only_the_last_waker_of_an_attempt_is_kept() {
    let tap = Arc::<Tap>::default();
    let source = Source::<Infallible>::new(&Arc::new(script()), &tap);
    let (mut first, kept) = BoxBody::new(source).replayable(&ReplayBuffer::default());
    let mut second = BoxBody::again(&kept).unwrap();
    let mut wakers = Vec::new();
    for _ in 0..100 {
        for body in [&mut first, &mut second] {
            let woken = Arc::new(Woken(AtomicBool::new(false)));
            wakers.push(Arc::clone(&woken));
            let polled = Pin::new(body).poll_frame(&mut Context::from_waker(&woken.into()));
            assert!(polled.is_pending());
        }
    }
    let kept = |woken: &&Arc<Woken>| Arc::strong_count(woken) > 1;
    assert_eq!(wakers.iter().filter(kept).count(), 2);
    tap.wake();
    let woken = |woken: &Arc<Woken>| woken.0.load(Ordering::SeqCst);
    assert!(wakers[198..].iter().all(woken));
}

/// A task that is dropped with its waker may poll another attempt.
struct Dropped(Mutex<BoxBody<Bytes, Infallible>>);

impl std::task::Wake for Dropped {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Dropped {
    fn drop(&mut self) {
        let body = Pin::new(self.0.get_mut().unwrap());
        let polled = body.poll_frame(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }
}

#[test]
fn a_waker_may_poll_another_attempt_when_it_is_dropped() {
    let source = Source::<Infallible>::new(&Arc::new(script()), &Arc::default());
    let (first, kept) = BoxBody::new(source).replayable(&ReplayBuffer::default());
    let mut second = BoxBody::again(&kept).unwrap();
    for waker in [
        Waker::from(Arc::new(Dropped(Mutex::new(first)))),
        Waker::noop().clone(),
    ] {
        let polled = Pin::new(&mut second).poll_frame(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
}

/// Two retrying layers each have a record of their own; for an opaque body, only the outer one has a record.
#[tokio::test]
async fn a_body_beneath_two_layers_is_retried_by_either() {
    let memory = ReplayBuffer::default();
    let (body, outer) = streamed(&["a", "b"]).replayable(&memory);
    let (mut first, inner) = body.replayable(&memory);
    assert_eq!(data(&mut first).await.unwrap(), "a");
    let mut second = Streamed::again(&inner).unwrap();
    assert_eq!(data(&mut second).await.unwrap(), "a");
    let third = Streamed::again(&outer).unwrap();
    assert!(data(&mut first).await.is_err());
    assert!(data(&mut second).await.is_err());
    assert_eq!(third.collect().await.unwrap().to_bytes(), "ab");

    let (body, outer) = Opaque::new(streamed(&["a", "b"])).replayable(&memory);
    let (first, inner) = body.replayable(&memory);
    assert!(Opaque::again(&inner).is_none());
    let again = Opaque::again(&outer).unwrap();
    assert!(first.collect().await.is_err());
    assert_eq!(again.collect().await.unwrap().to_bytes(), "ab");
}

/// A source that panicked cannot be polled again: a task waiting for it would wait for ever.
#[test]
fn a_source_that_panics_is_not_retried_and_who_waits_for_it_is_told() {
    let tap = Arc::<Tap>::default();
    let source = Source::<io::Error>::new(&Arc::new(script()), &tap);
    let (first, kept) = Streamed::new(source).replayable(&ReplayBuffer::default());
    let panics = Arc::new(Panics {
        kept: Mutex::new(kept),
        next: Mutex::default(),
    });
    tap.meanwhile(Arc::downgrade(&panics) as Weak<dyn Meanwhile>);
    let polls = AssertUnwindSafe(|| task::spawn(first.collect()).poll());
    assert!(catch_unwind(polls).is_err());

    let mut next = panics.next.lock().unwrap().take().unwrap();
    assert!(next.is_woken());
    assert!(assert_ready!(next.poll()).is_err());
    assert!(Streamed::again(&panics.kept.lock().unwrap()).is_none());
}

/// Makes another attempt wait for the source while it is polled, before that panics.
struct Panics {
    kept: Mutex<<Streamed as RequestBody>::Again>,
    next: Mutex<Option<Spawn<Collect<Streamed>>>>,
}

impl Meanwhile for Panics {
    fn act(&self) {
        let next = Streamed::again(&self.kept.lock().unwrap()).unwrap();
        let mut next = task::spawn(next.collect());
        assert_pending!(next.poll());
        *self.next.lock().unwrap() = Some(next);
        panic!("at the source");
    }
}

type Streamed = UnsyncBoxBody<Bytes, io::Error>;

/// A body of unknown length.
fn streamed(frames: &[&str]) -> Streamed {
    let copy = |data: &&str| Ok(Frame::data(Bytes::copy_from_slice(data.as_bytes())));
    let frames: Vec<_> = frames.iter().map(copy).collect();
    Streamed::new(StreamBody::new(futures::stream::iter(frames)))
}

async fn data(body: &mut Streamed) -> io::Result<Bytes> {
    Ok(body.frame().await.unwrap()?.into_data().unwrap())
}

fn boxed(source: Source<Infallible>) -> BoxBody<Bytes, Infallible> {
    BoxBody::new(source)
}

fn story(steps: Vec<Step>) -> Story {
    Story {
        script: script(),
        each: 100,
        steps,
        end: Vec::new(),
    }
}

/// Two frames.
fn script() -> Script {
    Script {
        frames: vec!["ab".into(), "c".into()],
        trailers: None,
        fails_at: None,
        size: Size::Exact,
        tells_end: false,
    }
}
