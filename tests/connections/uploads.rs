//! Responses that arrive before the request body was read.

use std::{convert::Infallible, io};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::StatusCode;
use http_body::Body;
use http_body_util::{BodyExt, combinators::BoxBody};
use testing::until;
use tower::{BoxError, Layer, ServiceExt};
use tower_together::{
    body::{Opaque, RequestBody},
    extension::{Retries, RetryReport},
};

use crate::body::{Dripping, Slow};
use crate::raw::Deaf;
use crate::server::{Early, Lingering};
use crate::{BIG, both, client, post, quick};

/// The upload gets 429 twice before it is read, and is then sent whole, through one layer and through two.
async fn early_response<B>(make: impl Fn() -> B)
where
    B: RequestBody + Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    for http2 in [false, true] {
        for alone in [false, true] {
            let server = Early::start(2).await;
            let request = post(&server.url(), "/embeddings", make());
            let client = client(http2);
            let (head, report) = if alone {
                let response = quick().layer(client).oneshot(request).await.unwrap();
                let report = response.extensions().get::<RetryReport>().cloned();
                (response.status(), report)
            } else {
                let response = both().layer(client).oneshot(request).await.unwrap();
                let report = response.extensions().get::<RetryReport>().cloned();
                (response.status(), report)
            };
            assert_eq!(head, StatusCode::OK);
            assert_eq!(report.unwrap().attempts(), 3);
            let expected = Slow::<Infallible>::new(BIG).collect().await;
            let expected = expected.unwrap().to_bytes();
            assert!(server.bodies() == [expected], "http2: {http2}");
        }
    }
}

#[tokio::test]
async fn a_response_before_the_body_was_read_makes_no_difference_to_the_next_attempt() {
    early_response(|| BoxBody::new(Slow::<io::Error>::new(BIG))).await;
    early_response(|| Opaque::new(Slow::<BoxError>::new(BIG))).await;
    early_response(|| axum::body::Body::new(Slow::<io::Error>::new(BIG))).await;
}

/// A server that reads on after its response would take half a prompt for the whole.
#[tokio::test]
async fn an_upload_that_is_given_up_never_looks_complete() {
    for http2 in [false, true] {
        let server = Early::start(10).await;
        let service = quick().with_max_retries(10).layer(client(http2));
        let body = BoxBody::new(Dripping::new(200).of_unknown_size());
        let response = service.oneshot(post(&server.url(), "/embeddings", body));
        assert_eq!(response.await.unwrap().status(), StatusCode::OK);
        until("ten bodies have ended", async || {
            server.given_up().len() == 10
        })
        .await;
        let given_up = server.given_up();
        assert!(given_up.contains(&None), "http2: {http2}");
        // On a slow machine an attempt may have sent everything before it was abandoned.
        let mut complete = given_up.iter().flatten();
        assert!(complete.all(|body| body.len() == 20_000), "http2: {http2}");
        assert_eq!(server.bodies()[0].len(), 20_000);
    }
}

/// Its errors cannot be made, so the abandoned attempts read on to the true end.
#[tokio::test]
async fn nor_where_an_upload_cannot_be_given_up() {
    early_response(|| BoxBody::new(Slow::<Infallible>::new(BIG))).await;
}

/// A server that responds early, and then waits for the client to close while it discards the rest. Servers do so to
/// keep their response from being lost.
#[tokio::test]
async fn a_thousand_early_responses_leave_no_connection_behind() {
    let server = Lingering::start().await;
    let service = quick().layer(client(false));
    let calls = stream::iter(0..500).map(|_| {
        let body = BoxBody::new(Slow::<io::Error>::new(BIG));
        let mut request = post(&server.url(), "/embeddings", body);
        request.extensions_mut().insert(Retries::at_most(1));
        service.clone().oneshot(request)
    });
    let statuses: Vec<_> = calls
        .buffer_unordered(20)
        .map(|response| response.unwrap().status())
        .collect()
        .await;
    assert!(statuses.iter().all(|status| *status == 429));
    assert_eq!(server.responded(), 1_000);
    until("no connection is left", async || server.connections() == 0).await;
    drop(service);
}

/// A server that reads no more and closes nothing: whether an upload ends is up to the client, and so to its body.
#[tokio::test]
async fn nor_do_those_of_a_server_that_neither_reads_nor_closes() {
    let server = Deaf::start().await;
    let service = quick().layer(client(false));
    let calls = stream::iter(0..1_000).map(|id| {
        let body = BoxBody::new(Dripping::new(8));
        let mut request = post(&server.url, "/embeddings", body);
        request.headers_mut().insert("x-id", id.into());
        service.clone().oneshot(request)
    });
    let statuses: Vec<_> = calls
        .buffer_unordered(20)
        .map(|response| response.unwrap().status())
        .collect()
        .await;
    assert_eq!(statuses, [200; 1_000]);
    assert_eq!(server.rejected(), 1_000);
    let whole: Vec<u8> = (0..8).flat_map(|n| [n; 100]).collect();
    assert_eq!(server.bodies(), vec![whole; 1_000]);
    until("no connection is left", async || server.left_open() == 0).await;
    drop(service);
}

#[tokio::test]
async fn nor_do_those_of_a_server_that_closes() {
    for http2 in [false, true] {
        let server = Early::start(1_000).await;
        let service = quick().with_max_retries(1_000).layer(client(http2));
        let calls = stream::iter(0..20).map(|_| {
            let body = BoxBody::new(Slow::<io::Error>::new(BIG / 8));
            let request = post(&server.url(), "/embeddings", body);
            service.clone().oneshot(request)
        });
        let statuses: Vec<_> = calls
            .buffer_unordered(20)
            .map(|response| response.unwrap().status())
            .collect()
            .await;
        assert_eq!(statuses, [200; 20]);
        assert_eq!(server.bodies().len(), 20);
        drop(service);
        until("no connection is left", async || server.connections() == 0).await;
    }
}
