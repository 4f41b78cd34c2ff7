//! A streamed body that is sent more than once, for every interleaving of the attempts.

mod attempt;
mod by_hand;
mod hand;
mod source;
mod steps;
mod story;
mod threads;
mod world;

use std::{convert::Infallible, error::Error, io};

use bytes::Bytes;
use http_body_util::{
    StreamBody,
    combinators::{BoxBody, UnsyncBoxBody},
};
use proptest::{prelude::*, test_runner::FileFailurePersistence};
use source::{Foreign, Size, Source};
use story::{Story, stories};
use threads::{Restless, race};
use tower_together::body::Opaque;
use world::play;

type BoxError = Box<dyn Error + Send + Sync>;

/// Every attempt that reads to its end gets the original, and none ends early as if that were all. No task is forgotten
/// or woken without need, and the kept bytes are given back.
macro_rules! in_every_interleaving {
    ($($name:ident, $tells:literal: $body:ty, |$source:ident: $error:ty| $wrap:expr;)*) => {
        proptest! {
            #![proptest_config(cases(512))]
            $(
                #[test]
                fn $name(story in stories()) {
                    play(&story, $tells, |$source: Source<$error>| -> $body { $wrap });
                }
            )*
        }
    };
}

in_every_interleaving! {
    a_box_with_errors_of_io, true:
        UnsyncBoxBody<Bytes, io::Error>, |source: io::Error| UnsyncBoxBody::new(source);
    a_box_with_errors_of_any_kind, true:
        BoxBody<Bytes, BoxError>, |source: BoxError| BoxBody::new(source);
    a_box_with_errors_of_a_client_s_own, false:
        UnsyncBoxBody<Bytes, Foreign>, |source: Foreign| UnsyncBoxBody::new(source);
    a_box_without_errors, false:
        BoxBody<Bytes, Infallible>, |source: Infallible| BoxBody::new(source);
    an_axum_body, true:
        axum::body::Body, |source: io::Error| axum::body::Body::new(source);
    an_opaque_body, false:
        Opaque<Source<Foreign>>, |source: Foreign| Opaque::new(source);
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn an_opaque_stream(story in streams()) {
        play(&story, true, |source: Source<io::Error>| Opaque::new(StreamBody::new(source)));
    }

    #[test]
    fn an_opaque_stream_without_errors(story in streams()) {
        play(&story, false, |source: Source<Infallible>| Opaque::new(StreamBody::new(source)));
    }
}

#[test]
fn on_several_threads_at_once() {
    race(1, true, UnsyncBoxBody::<Bytes, io::Error>::new);
}

#[test]
fn on_several_threads_at_once_with_errors_of_a_client_s_own() {
    race(2, false, Opaque::<Restless<Foreign>>::new);
}

#[test]
fn on_several_threads_at_once_where_nothing_can_be_given_up() {
    race(3, false, BoxBody::<Bytes, Infallible>::new);
}

/// The size of a stream is unknown, and so is whether a frame was the last.
fn streams() -> impl Strategy<Value = Story> {
    stories().prop_map(|mut story| {
        story.script.size = Size::Unknown;
        story.script.tells_end = false;
        story
    })
}

/// `PROPTEST_CASES` in the environment asks for more.
fn cases(cases: u32) -> ProptestConfig {
    let more = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|more| more.parse().ok());
    ProptestConfig {
        cases: more.unwrap_or(cases),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}
