//! How often a file is uploaded and a batch created, in virtual time.

use std::pin::pin;

use futures_util::StreamExt;
use tower_together_jobs::{Batches, JobsApi, Reason};

use crate::asked::{self, Received};

use super::{missing, request};

/// Runs a batch of one request against a server that responds as `response` says. Returns why the request
/// has no response.
pub(crate) async fn play(
    response: impl Fn(&str, usize) -> Option<(u16, &'static str)> + Clone,
) -> (Reason, Received) {
    let (server, asked) = asked::server(response);
    let api = JobsApi::new(server).with_base("http://server").unwrap();
    let outcomes: Vec<_> = pin!(Batches::new(api).run([request(0)])).collect().await;
    (missing(outcomes).remove(0).1, asked)
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_tried_three_times_a_second_apart_if_nothing_was_done() {
    for (response, uploads, transient) in [
        ((503, DECLINED), &[0, 1, 2][..], true),
        ((429, "{}"), &[0, 1, 2], true),
        ((0, ""), &[0, 1, 2], true),
        ((401, "{}"), &[0], false),
        ((402, "{}"), &[0], false),
    ] {
        let (reason, asked) = play(move |_, _| Some(response)).await;
        assert!(matches!(reason, Reason::NotUploaded(_)), "{reason:?}");
        assert_eq!(reason.is_transient(), transient, "{response:?}");
        assert_eq!(asked.at("POST /files/upload"), uploads, "{response:?}");
        assert!(asked.at("POST /batches").is_empty());
    }
    let (_, asked) = play(|what, nth| match (what, nth) {
        ("POST /files/upload", 1..3) => Some((429, "{}")),
        ("POST /files/upload", _) => Some((200, r#"{"id":"file-1"}"#)),
        _ => Some((400, "{}")),
    })
    .await;
    assert_eq!(asked.at("POST /files/upload"), [0, 1, 2]);
    assert_eq!(asked.at("POST /batches"), [2]);
}

/// A file was uploaded again after a 502, and a batch created again that a slow list did not show yet.
#[tokio::test(start_paused = true)]
async fn nothing_is_created_again_because_no_list_shows_it() {
    for lost in [
        None,
        Some((502, "{}")),
        Some((503, "")),
        Some((408, "{}")),
        Some((200, "<html>")),
        Some((200, "{}")),
    ] {
        for (create, list) in [
            ("POST /files/upload", "GET /files"),
            ("POST /batches", "GET /batches"),
        ] {
            let (reason, asked) = play(move |what, _| match what {
                _ if what == create => lost,
                "POST /files/upload" => Some((200, r#"{"id":"file-1"}"#)),
                _ => Some((200, r#"{"data":[]}"#)),
            })
            .await;
            assert!(matches!(reason, Reason::MayExist { .. }), "{reason:?}");
            assert!(!reason.is_transient(), "{reason:?}");
            assert_eq!(asked.at(create), [0], "{lost:?}");
            assert_eq!(asked.at(list), [30, 60, 90], "{lost:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_response_is_lost_is_looked_for_three_times() {
    let uploaded = Some((200, r#"{"id":"file-1"}"#));
    let there =
        r#"[{"id":"batch-0","input_file_id":"file-0"},{"id":"batch-1","input_file_id":"file-1"}]"#;
    for found in 1..=3 {
        let (reason, asked) = play(move |what, nth| match what {
            "POST /files/upload" => uploaded,
            "POST /batches" => None,
            "GET /batches" if nth < found => Some((200, r#"{"data":[]}"#)),
            "GET /batches" => Some((200, there)),
            _ => Some((404, "{}")),
        })
        .await;
        assert!(
            matches!(&reason, Reason::Ended { batch, .. } if batch == "batch-1"),
            "{reason:?}"
        );
        assert_eq!(asked.at("POST /batches"), [0]);
        assert_eq!(asked.at("GET /batches"), [30, 60, 90][..found]);
    }
    // A rejected create made nothing to look for.
    for (response, sent) in [
        ((400, "{}"), &[0][..]),
        ((403, "{}"), &[0]),
        ((429, "{}"), &[0, 30, 60]),
        ((503, DECLINED), &[0, 30, 60]),
        ((0, ""), &[0, 30, 60]),
    ] {
        let (reason, asked) = play(move |what, _| match what {
            "POST /files/upload" => uploaded,
            _ => Some(response),
        })
        .await;
        assert!(matches!(reason, Reason::NotCreated(_)), "{reason:?}");
        assert_eq!(reason.is_transient(), sent.len() > 1, "{response:?}");
        assert_eq!(asked.at("POST /batches"), sent, "{response:?}");
        assert!(asked.at("GET /batches").is_empty(), "{response:?}");
    }
}

/// A 503 of the API itself, which states that nothing was done.
const DECLINED: &str = r#"{"error":{"message":"overloaded"}}"#;

#[tokio::test(start_paused = true)]
async fn a_batch_whose_create_was_lost_is_found_on_any_page() {
    let (reason, asked) = play(|what, nth| match what {
        "POST /files/upload" => Some((200, r#"{"id":"file-1"}"#)),
        "POST /batches" => None,
        "GET /batches" if nth == 1 => Some((
            200,
            r#"{"data":[{"id":"batch-9","cost":NaN,"model":"\ud83d"}],"has_more":true}"#,
        )),
        "GET /batches" => Some((
            200,
            r#"{"data":[{"id":"batch-1","input_file_id":"file-1"}],"has_more":true}"#,
        )),
        _ => Some((404, "{}")),
    })
    .await;
    assert!(
        matches!(&reason, Reason::Ended { batch, .. } if batch == "batch-1"),
        "{reason:?}"
    );
    assert_eq!(asked.at("POST /batches"), [0]);
    assert_eq!(asked.at("GET /batches"), [30; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_read_is_asked_for_an_hour_and_the_create_is_not_repeated() {
    for (list, looks) in [
        (None, 120),
        (Some((503, "{}")), 120),
        (Some((522, "{}")), 120),
        (Some((200, "<html>")), 120),
        (Some((200, r#"{"error":{}}"#)), 120),
        (Some((200, r#"{"batches":[]}"#)), 120),
        (Some((200, r#"{"data":null}"#)), 120),
        (Some((501, "{}")), 1),
        (Some((401, "{}")), 1),
    ] {
        let (reason, asked) = play(move |what, _| match what {
            "POST /files/upload" => Some((200, r#"{"id":"file-1"}"#)),
            "POST /batches" => None,
            _ => list,
        })
        .await;
        assert!(matches!(reason, Reason::MayExist { .. }), "{reason:?}");
        assert_eq!(asked.at("POST /batches"), [0]);
        let expected: Vec<_> = (1..=looks).map(|look| 30 * look).collect();
        assert_eq!(asked.at("GET /batches"), expected);
    }
}
