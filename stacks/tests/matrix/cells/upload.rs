//! A request too large to be in one piece.

use std::time::Duration;

use crate::{ask::Ask, bench::Bench, stacks::Stack, upstream::Step, words::Fail};

pub(crate) async fn a_large_upload_that_failed_arrives_whole_the_second_time<S: Stack>() {
    let bench = Bench::<S>::fast().await;
    let fail = Fail {
        status: 503,
        wait: None,
    };
    bench.upstream.next(Step::Fail(fail));
    let heard = uploaded(&bench).await;
    assert!(heard[0] == heard[1], "not the same bytes");
}

pub(crate) async fn a_large_upload_that_was_rejected_early_arrives_whole_the_second_time<
    S: Stack,
>() {
    let bench = Bench::<S>::fast().await;
    let wait = Some(Duration::from_millis(20));
    let fail = Fail { status: 429, wait };
    bench.upstream.next(Step::FailEarly(fail));
    uploaded(&bench).await;
}

async fn uploaded<S: Stack>(bench: &Bench<S>) -> Vec<String> {
    let ask = Ask::upload();
    let words = ask.words.clone();
    let response = bench.send(ask).await;
    assert_eq!((response.status, &*response.text), (200, "response 1"));
    if let Some(seen) = Bench::<S>::seen(&response) {
        assert_eq!(seen.attempts, 2);
    }
    let heard = bench.heard();
    assert_eq!(heard.len(), 2);
    // `assert_eq` would print all of it.
    assert!(heard[1] == words, "not what was sent");
    heard
}
