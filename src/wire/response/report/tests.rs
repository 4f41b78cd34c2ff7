use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, StatusCode};

use super::*;
use crate::words::{Endpoint::*, Report};

const MONEY: &str = r#"{"error":{"code":"insufficient_quota"}}"#;
const TOKENS: &str = r#"{"error":{"type":"dynamic_token_limited"}}"#;

fn read(endpoint: Endpoint, status: u16, headers: &[(&'static str, &str)], body: &str) -> Report {
    let headers = headers.iter().map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, value.parse().unwrap())
    });
    let status = StatusCode::from_u16(status).unwrap();
    let headers: HeaderMap = headers.collect();
    Report::read(endpoint, status, &headers, body.as_bytes(), UNIX_EPOCH)
}

#[test]
fn a_wait_is_for_this_client_or_for_all() {
    let throttled = |seconds: Option<u64>, of| {
        let wait = seconds.map(Duration::from_secs);
        Some(NotNow::Throttled { wait, of })
    };
    let overloaded = |seconds| {
        let wait = Duration::from_secs(seconds);
        Some(NotNow::Overloaded { wait })
    };
    let five = ("retry-after", "5");
    let date = ("retry-after", "Thu, 01 Jan 1970 00:00:09 GMT");
    let [exhausted, unavailable] = ["8", "14"].map(|status| ("grpc-status", status));
    let pushback = ("grpc-retry-pushback-ms", "3000");
    for (endpoint, status, headers, body, expected) in [
        (
            ChatCompletions,
            429,
            &[][..],
            "",
            throttled(None, Unit::Requests),
        ),
        (
            ChatCompletions,
            429,
            &[date],
            "",
            throttled(Some(9), Unit::Requests),
        ),
        (
            ChatCompletions,
            429,
            &[five],
            TOKENS,
            throttled(Some(5), Unit::Tokens),
        ),
        // A file's tokens are not counted.
        (
            FileUpload,
            429,
            &[five],
            TOKENS,
            throttled(Some(5), Unit::Requests),
        ),
        (ChatCompletions, 429, &[five], MONEY, None),
        (ChatCompletions, 503, &[five], "", overloaded(5)),
        (ChatCompletions, 503, &[], "", None),
        (ChatCompletions, 500, &[five], "", None),
        (
            ChatCompletions,
            200,
            &[exhausted],
            "",
            throttled(None, Unit::Requests),
        ),
        (
            ChatCompletions,
            200,
            &[unavailable, pushback],
            "",
            overloaded(3),
        ),
        (ChatCompletions, 200, &[unavailable], "", None),
    ] {
        let report = read(endpoint, status, headers, body);
        assert_eq!(report.not_now, expected, "{status} {headers:?} {body}");
    }
}

#[test]
fn a_wait_counts_from_the_head_of_its_response() {
    let late = Duration::from_secs(2);
    for (status, seconds) in [(429, 3), (503, 3), (429, 0), (503, 0)] {
        let wait = (seconds + 2 * u64::from(seconds > 0)).max(1).to_string();
        let report = read(ChatCompletions, status, &[("retry-after", &wait)], "").read_after(late);
        let expected = Duration::from_secs(seconds);
        let (NotNow::Throttled {
            wait: Some(wait), ..
        }
        | NotNow::Overloaded { wait }) = report.not_now.unwrap()
        else {
            panic!("no wait");
        };
        assert_eq!(wait, expected, "{status}");
    }
}

#[test]
fn words_name_a_limit_only_in_a_rejection() {
    let body = r#"{"error":"your rate limit is 60 queries per minute"}"#;
    for (status, headers, expected) in [
        (429, &[][..], Some(1.0)),
        (429, &[("x-ratelimit-limit", "5")], Some(5.0)),
        (400, &[], None),
        (503, &[], None),
    ] {
        let report = read(ChatCompletions, status, headers, body);
        assert_eq!(report.limits.requests.limit, expected, "{status}");
    }
}

#[test]
fn a_request_costs_what_its_response_says_or_nothing_if_it_was_not_worked_at() {
    let json = [("content-type", "application/json")];
    let usage = r#"{"usage":{"total_tokens":48}}"#;
    let used = || Usage::new(None, None, Some(48)).map(Tokens::Used);
    let free = Some(Tokens::Exactly(0));
    for (status, body, expected) in [
        (200, usage, used()),
        (400, usage, used()),
        (500, usage, used()),
        (429, usage, free),
        (400, "", free),
        (404, "", free),
        (408, "", None),
        (500, "", None),
        (200, "", None),
    ] {
        let report = read(ChatCompletions, status, &json, body);
        assert_eq!(report.tokens, expected, "{status} {body}");
    }
    let report = read(ChatCompletions, 200, &[("grpc-status", "8")], "");
    assert_eq!(report.tokens, free);
}

#[test]
fn jobs_are_created_rejected_and_ended() {
    let json = [("content-type", "application/json")];
    let running = r#"{"job":{"id":"b-1","status":"VALIDATING"}}"#;
    let failed = r#"{"job":{"id":"b-1","status":"FAILED"}}"#;
    let list = r#"{"data":[{"id":"a","status":"completed"},{"id":"b","status":"running"}]}"#;
    let terminal = r#"{"error":"Cannot cancel job - already in terminal state: CANCELLED"}"#;
    for (endpoint, status, body, created, ended) in [
        (BatchCreate, 200, running, Some("b-1"), &[][..]),
        (BatchCreate, 200, failed, None, &[]),
        (BatchCreate, 500, running, None, &[]),
        (ChatCompletions, 200, running, None, &[]),
        (BatchList, 200, list, None, &["a"]),
        (
            FineTuneGet,
            200,
            r#"{"id":"a","status":"error"}"#,
            None,
            &["a"],
        ),
        (FineTuneGet, 404, "", None, &["named"]),
        (FineTuneDelete, 200, "", None, &["named"]),
        (BatchCancel, 409, terminal, None, &["named"]),
        (BatchGet, 409, terminal, None, &[]),
        (BatchGet, 500, "", None, &[]),
    ] {
        let jobs = read(endpoint, status, &json, body).about_job("named").jobs;
        assert_eq!(jobs.created.as_deref(), created, "{endpoint:?} {status}");
        let names: Vec<_> = jobs.ended.iter().map(|id| &**id).collect();
        assert_eq!(names, ended, "{endpoint:?} {status}");
    }
    let crowded = read(
        BatchCreate,
        400,
        &json,
        r#"{"error":"too many running jobs"}"#,
    );
    assert!(crowded.jobs.rejected);
}
