//! A response that arrives in pieces.

use futures::StreamExt;

use crate::{
    ask::Ask,
    bench::{Bench, until},
    stacks::Stack,
    upstream::Step,
};

pub(crate) async fn a_stream_comes_piece_by_piece_and_holds_its_slot_to_its_end<S: Stack>() {
    let bench = Bench::<S>::single().await;
    let (give, stream) = Step::stream();
    bench.upstream.next(stream);
    give.send("one".to_owned()).unwrap();
    let mut response = bench.send(Ask::streamed("count")).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.pieces.next().await.as_deref(), Some("one"));
    // Only now is there another piece.
    assert_eq!(bench.free(), 0);
    give.send("two".to_owned()).unwrap();
    assert_eq!(response.pieces.next().await.as_deref(), Some("two"));

    let next = bench.spawn("next");
    until(|| bench.waiting() == 1).await;
    drop(give);
    assert_eq!(response.pieces.next().await, None);
    assert_eq!(next.await.unwrap().text, "response 1");
    until(|| bench.free() == 1).await;
    assert_eq!(bench.heard(), ["count", "next"]);
}

pub(crate) async fn a_stream_that_nobody_reads_on_gives_its_slot_back<S: Stack>() {
    let bench = Bench::<S>::single().await;
    let (give, stream) = Step::stream();
    bench.upstream.next(stream);
    give.send("one".to_owned()).unwrap();
    let mut response = bench.send(Ask::streamed("count")).await;
    assert_eq!(response.pieces.next().await.as_deref(), Some("one"));
    let next = bench.spawn("next");
    until(|| bench.waiting() == 1).await;
    drop(response);
    assert_eq!(next.await.unwrap().text, "response 1");
    until(|| bench.free() == 1).await;
}
