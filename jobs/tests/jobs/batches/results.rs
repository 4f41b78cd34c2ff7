//! The ends of batches and their files, in virtual time.

use std::pin::pin;

use bytes::Bytes;
use futures_util::StreamExt;
use http::Response;
use http_body::Body as _;
use http_body_util::Full;
use tower::ServiceExt;
use tower_together_jobs::{Batches, JobsApi, Outcome, Reason};

use crate::asked::{self, Received};

use super::{creates::play, missing, request};

/// Runs a batch of three requests, of which `response` tells what is read once it has ended.
async fn read(
    response: impl Fn(&str, usize) -> Option<(u16, &'static str)> + Clone,
) -> (Vec<Outcome>, Received) {
    let (server, asked) = asked::server(move |what, nth| match what {
        "POST /files/upload" => Some((200, r#"{"id":"file-1"}"#)),
        "POST /batches" => Some((200, r#"{"job":{"id":"batch-1"}}"#)),
        _ => response(what, nth),
    });
    // Untouched zeros take no memory.
    let server = server.map_response(|response: Response<Full<Bytes>>| {
        let size = response.body().size_hint().exact();
        response.map(|body| match size {
            Some(size) if size == LARGE.len() as u64 => Full::from(vec![0; (1 << 30) + 1]),
            _ => body,
        })
    });
    let api = JobsApi::new(server).with_base("http://server").unwrap();
    let outcomes = Batches::new(api).run((0..3).map(request));
    (pin!(outcomes).collect().await, asked)
}

/// In place of a body beyond every bound.
const LARGE: &str = "a body of more than a GiB";

const COMPLETED: &str =
    r#"{"id":"batch-1","status":"COMPLETED","output_file_id":"out","error_file_id":"err"}"#;

/// The responses to 0 and, in another file, the error of 1.
const OUTPUT: &str = r#"{"custom_id":"request-0","response":{"status_code":200,"body":{"id":1}}}"#;
const ERRORS: &str = r#"{"custom_id":"request-1","error":{"code":"batch_expired"}}"#;

/// The responses were dropped if the file of errors could not be read.
#[tokio::test(start_paused = true)]
async fn what_one_file_holds_is_kept_if_the_other_cannot_be_read() {
    for (status, times) in [(404, 1), (500, 120)] {
        for broken in ["out", "err"] {
            let path = format!("GET /files/{broken}/content");
            let (outcomes, asked) = read({
                let path = path.clone();
                move |what, _| match what {
                    _ if what == path => Some((status, "{}")),
                    "GET /files/out/content" => Some((200, OUTPUT)),
                    "GET /files/err/content" => Some((200, ERRORS)),
                    _ => Some((200, COMPLETED)),
                }
            })
            .await;
            assert_eq!(asked.at(&path).len(), times);
            assert_eq!(outcomes[0].result.is_ok(), broken == "err");
            let reasons = missing(outcomes);
            for (request, reason) in &reasons {
                let failed = broken == "out" && request["messages"][0]["content"] == "1";
                match reason {
                    Reason::Failed(_) => assert!(failed),
                    Reason::Lost { message, .. } => {
                        assert!(
                            broken == "out" && message.contains("out/content"),
                            "{message}"
                        );
                    }
                    Reason::Ended { message, .. } => {
                        assert!(
                            broken == "err" && message.contains("err/content"),
                            "{message}"
                        );
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

/// A file beyond the bound was downloaded 120 times.
#[tokio::test(start_paused = true)]
async fn a_file_that_is_too_long_is_downloaded_once() {
    let (outcomes, asked) = read(|what, _| match what {
        "GET /files/out/content" => Some((200, LARGE)),
        "GET /files/err/content" => Some((200, ERRORS)),
        _ => Some((200, COMPLETED)),
    })
    .await;
    assert_eq!(asked.at("GET /files/out/content").len(), 1);
    let (_, reason) = missing(outcomes).remove(0);
    assert!(
        reason.to_string().contains("longer than 1024 MiB"),
        "{reason}"
    );
    assert!(!reason.is_transient());
}

/// One page of HTML with status 200 in place of a status lost a whole batch.
#[tokio::test(start_paused = true)]
async fn a_page_in_place_of_a_status_is_asked_for_again() {
    for page in ["<html>", "", r#"{"error":"later"}"#, "[]"] {
        let (outcomes, _) = read(move |what, nth| match what {
            "GET /files/out/content" => Some((200, OUTPUT)),
            "GET /files/err/content" => Some((200, ERRORS)),
            _ if nth < 3 => Some((200, page)),
            _ => Some((200, COMPLETED)),
        })
        .await;
        assert!(outcomes[0].result.is_ok(), "{page}: {outcomes:?}");
        // For ever it would wait for nothing.
        let (outcomes, asked) = read(move |_, _| Some((200, page))).await;
        assert_eq!(asked.at("GET /batches/batch-1").len(), 120);
        assert!(matches!(missing(outcomes)[0].1, Reason::Lost { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_asked_about_every_30_to_60_seconds() {
    let (reason, asked) = play(|what, nth| match what {
        "POST /files/upload" => Some((200, r#"{"id":"file-1"}"#)),
        "POST /batches" => Some((200, r#"{"job":{"id":"batch-1"}}"#)),
        _ if nth < 50 => Some((200, r#"{"id":"batch-1","status":"IN_PROGRESS"}"#)),
        _ => Some((
            200,
            r#"{"id":"batch-1","status":"FAILED","error":"no file"}"#,
        )),
    })
    .await;
    assert!(
        matches!(&reason, Reason::Ended { message, .. } if message == "no file"),
        "{reason:?}"
    );
    let asked = asked.at("GET /batches/batch-1");
    assert_eq!(asked.len(), 50);
    let mut apart: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        apart.iter().all(|apart| (29..=61).contains(apart)),
        "{apart:?}"
    );
    apart.sort();
    apart.dedup();
    assert!(apart.len() > 10, "{apart:?}");
}
