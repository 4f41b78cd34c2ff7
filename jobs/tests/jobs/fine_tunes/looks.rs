//! How often fine-tunes are looked at, and what the responses mean.

use std::pin::pin;

use futures_util::StreamExt;
use serde_json::json;
use tower::Layer;
use tower_together::{Limiter, Limits, TogetherRateLimitLayer};
use tower_together_jobs::{FineTune, FineTunes, JobsApi, Untrained};

use crate::asked::{self, Received};

/// Runs one fine-tune, of suffix `s`, against a server that responds as `response` says.
pub(crate) async fn run(
    response: impl Fn(&str, usize) -> Option<(u16, &'static str)> + Clone,
) -> (FineTune, Received) {
    let (server, asked) = asked::server(response);
    let limiter = Limiter::new(Limits::none());
    let client = TogetherRateLimitLayer::from(limiter.clone()).layer(server);
    let api = JobsApi::new(client).with_base("http://server").unwrap();
    let tunes = FineTunes::new(api, limiter);
    let mut outcomes: Vec<_> = pin!(tunes.run([json!({"suffix": "s"})])).collect().await;
    (outcomes.remove(0), asked)
}

const LISTED: &str = r#"{"data":[{"id":"ft-1","suffix":"s"}]}"#;

#[tokio::test(start_paused = true)]
async fn a_job_is_gone_only_if_the_server_says_that_it_does_not_exist() {
    for (status, gone) in [(404, true), (401, false), (403, false), (410, false)] {
        let (tune, _) = run(move |what, _| match what {
            "GET /fine-tunes" => Some((200, LISTED)),
            _ => Some((status, "{}")),
        })
        .await;
        match tune.result.unwrap_err() {
            Untrained::Ended { id, status } if gone => {
                assert_eq!((&*id, &*status), ("ft-1", "gone"));
            }
            Untrained::Lost { id, .. } if !gone => assert_eq!(id, "ft-1"),
            other => panic!("{status}: {other}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn looks_at_a_job_that_runs_are_between_one_and_two_intervals_apart() {
    let (tune, asked) = run(|what, nth| match what {
        "GET /fine-tunes" => Some((200, LISTED)),
        _ if nth <= 20 => Some((200, r#"{"status":"running"}"#)),
        _ => Some((200, r#"{"status":"completed"}"#)),
    })
    .await;
    assert!(tune.result.is_ok(), "{tune:?}");
    let looks = asked.at("GET /fine-tunes/ft-1");
    assert_eq!(looks.len(), 21);
    for look in looks.windows(2) {
        // Seconds are rounded down.
        let apart = look[1] - look[0];
        assert!((29..=60).contains(&apart), "{apart} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_in_place_of_a_job_is_asked_for_again() {
    for page in ["<html>", "", r#"{"error":"later"}"#, "[]"] {
        let (tune, _) = run(move |what, nth| match what {
            "GET /fine-tunes" => Some((200, LISTED)),
            _ if nth < 3 => Some((200, page)),
            _ => Some((200, r#"{"status":"completed"}"#)),
        })
        .await;
        assert!(tune.result.is_ok(), "{page}: {tune:?}");
    }
}

/// Creating a job that could be in a part of the list that was not read would create it twice.
#[tokio::test(start_paused = true)]
async fn no_job_is_created_if_the_server_lists_more_than_100_000() {
    let page = |nth: usize, more: bool| {
        let jobs = (0..50_000).map(|job| format!(r#"{{"id":"ft-{nth}-{job}"}}"#));
        let jobs = jobs.collect::<Vec<_>>().join(",");
        &*format!(r#"{{"data":[{jobs}],"has_more":{more}}}"#).leak()
    };
    for (pages, created) in [(2, true), (3, false)] {
        let (tune, asked) = run(move |what, nth| match what {
            "GET /fine-tunes" => Some((200, page(nth, nth < pages))),
            "POST /fine-tunes" => Some((200, r#"{"id":"ft-1"}"#)),
            _ => Some((200, r#"{"status":"completed"}"#)),
        })
        .await;
        assert_eq!(tune.result.is_ok(), created, "{pages}: {:?}", tune.result);
        assert_eq!(asked.at("GET /fine-tunes").len(), 2);
        assert_eq!(asked.at("POST /fine-tunes").len(), usize::from(created));
    }
}

/// A response that was no list counted as an empty one, and every job was created again.
#[tokio::test(start_paused = true)]
async fn no_job_is_created_if_the_response_is_no_list() {
    for body in [
        r#"{"error":{"message":"later"}}"#,
        r#"{"jobs":[{"id":"ft-1","suffix":"s"}]}"#,
        r#"{"data":null}"#,
        r#"{"data":{"id":"ft-1","suffix":"s"}}"#,
        r#""busy""#,
        "<html>",
        "",
    ] {
        let (tune, asked) = run(move |what, _| match what {
            "GET /fine-tunes" => Some((200, body)),
            _ => panic!("{what}, {body}"),
        })
        .await;
        assert!(
            matches!(tune.result, Err(Untrained::NotCreated(_))),
            "{body}: {tune:?}"
        );
        assert_eq!(asked.at("GET /fine-tunes"), [30], "{body}");
    }
}

/// The next page is asked for by the id of a job of the one before.
#[tokio::test(start_paused = true)]
async fn no_job_is_created_if_the_next_page_cannot_be_named() {
    let (tune, asked) = run(|what, _| match what {
        "GET /fine-tunes" => Some((200, r#"{"data":[{"id":"a b&c"}],"has_more":true}"#)),
        _ => panic!("{what}"),
    })
    .await;
    assert!(
        matches!(tune.result, Err(Untrained::NotCreated(_))),
        "{tune:?}"
    );
    assert_eq!(asked.at("GET /fine-tunes").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_is_found_on_any_page_and_beside_any_other_user_s_job() {
    let page = r#"{"data":[{"id":"ft-8","suffix":"x"}],"has_more":true}"#;
    let never_ends = r#"{"data":[{"id":"ft-1","suffix":"s"}],"has_more":true}"#;
    for (first, second, pages) in [
        (page, LISTED, 2),
        (page, never_ends, 3),
        (
            r#"{"data":[{"id":"ft-8"},{"id":"a b&c","suffix":"x"}],"has_more":true}"#,
            LISTED,
            2,
        ),
        (
            r#"{"data":[{"id":"ft-9","loss":NaN,"name":"\ud83d"},{"id":"ft-1","suffix":"s"}]}"#,
            "",
            1,
        ),
        (
            r#"[null,7,{"id":1e999},{"id":null,"suffix":"s"},{"id":"ft-1","suffix":"s"}]"#,
            "",
            1,
        ),
    ] {
        let (tune, asked) = run(move |what, nth| match what {
            "GET /fine-tunes" if nth == 1 => Some((200, first)),
            "GET /fine-tunes" => Some((200, second)),
            "GET /fine-tunes/ft-1" => Some((200, r#"{"status":"completed"}"#)),
            _ => panic!("{what}, {first}"),
        })
        .await;
        assert!(tune.result.is_ok(), "{first}: {tune:?}");
        assert_eq!(asked.at("GET /fine-tunes").len(), pages, "{first}");
    }
}
