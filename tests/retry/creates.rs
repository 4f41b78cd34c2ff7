//! Requests that create something are not sent twice.

use std::time::Duration;

use http::Method;
use testing::script::{Reply, Script, status};
use tower::{Layer, ServiceExt};
use tower_together::{Limits, TogetherRateLimitLayer, extension::Retries};

use crate::{CHAT, FINE_TUNES, OVERLOADED, exact, post, request, send};

/// A batch size was read as "too many jobs", and its request sent 147 times in a day.
#[tokio::test(start_paused = true)]
async fn a_limit_that_is_not_about_jobs_is_final_for_a_fine_tune() {
    for (body, again) in [
        (
            r#"{"error":{"message":"batch_size 256 exceeds the maximum of 128 for models with 17B active parameters"}}"#,
            false,
        ),
        (
            r#"{"error":{"message":"The job limit of inactive accounts is 0"}}"#,
            false,
        ),
        (
            r#"{"error":{"message":"The maximum of 3 active jobs is reached"}}"#,
            true,
        ),
    ] {
        let (instants, _) = send(&exact(), post(FINE_TUNES), [status(400).body(body)]).await;
        assert_eq!(instants.len(), 1 + usize::from(again), "{body}");
    }
}

/// Without a known running job, such words may be about anything.
#[tokio::test(start_paused = true)]
async fn too_many_jobs_are_final_after_three_attempts_within_an_hour_each() {
    let words = r#"{"error":{"message":"The maximum of 3 active jobs is reached"}}"#;
    for code in [400, 409, 429] {
        for (wait, attempts) in [(1, 3), (1_800, 3), (3_599, 3), (3_600, 5), (7_200, 5)] {
            let layer = exact().with_longest_hint(Duration::from_secs(7_200));
            let busy = status(code).header("retry-after", wait).body(words);
            let (instants, last) = send(&layer, post(FINE_TUNES), vec![busy; 9]).await;
            assert_eq!(instants.len(), attempts, "{code} {wait}");
            assert_eq!(last.unwrap(), code);
        }
    }
    // For a request that creates nothing the words mean nothing.
    let busy = status(429).header("retry-after", 1).body(words);
    assert_eq!(send(&exact(), post(CHAT), vec![busy; 9]).await.0.len(), 5);
}

/// A request that must not be processed twice is sent once, unless the caller says otherwise.
#[tokio::test(start_paused = true)]
async fn nothing_that_creates_something_is_sent_twice() {
    for (method, path) in [
        (Method::POST, "/v1/fine-tunes"),
        (Method::POST, "/v1/batches"),
        (Method::POST, "/v1/files"),
        (Method::POST, "/v1/files/upload"),
        (Method::POST, "/v2/videos"),
        (Method::POST, "/v1/evaluation"),
        (Method::POST, "/v1/endpoints"),
        (Method::POST, "/v1/deployments"),
        (Method::POST, "/v1/deployments/d/rollback"),
        (Method::POST, "/v1/queue/submit"),
        (Method::POST, "/v1/queue/clear"),
        (Method::POST, "/v1/tci/execute"),
        (Method::POST, "/v1/compute/clusters"),
        (Method::POST, "/v1/rl/training-sessions"),
        (Method::POST, "/v1/models"),
        (Method::PATCH, "/v1/endpoints/e"),
        (Method::POST, "/somewhere/else"),
        (Method::PATCH, "/somewhere/else"),
    ] {
        for reply in [status(500), status(504), status(408), Reply::Reset] {
            let once = request(method.clone(), path);
            let (instants, _) = send(&exact(), once, vec![reply.clone(); 2]).await;
            assert_eq!(instants, [0], "{method} {path} {reply:?}");

            let mut twice = request(method.clone(), path);
            let may = Retries::at_most(1).may_repeat();
            twice.extensions_mut().insert(may);
            let (instants, _) = send(&exact(), twice, vec![reply.clone(); 2]).await;
            assert_eq!(instants.len(), 2, "{method} {path} {reply:?}");
        }
    }
    for (method, path) in [
        (Method::POST, "/v1/embeddings"),
        (Method::POST, "/v1/images/generations"),
        (Method::POST, "/v1/fine-tunes/ft/cancel"),
        (Method::POST, "/v1/fine-tunes/estimate-price"),
        (Method::GET, "/v1/fine-tunes"),
        (Method::DELETE, "/v1/files/f"),
        (Method::PUT, "/somewhere/else"),
    ] {
        let again = request(method.clone(), path);
        let (instants, _) = send(&exact(), again, [Reply::Reset]).await;
        assert_eq!(instants.len(), 2, "{method} {path}");
    }
}

/// Envoy also sends a 503 if the connection broke after the request was forwarded: a fine-tune was made twice. RFC
/// 9110, section 9.2.2, allows a retry only if it is known that nothing was done.
#[tokio::test(start_paused = true)]
async fn a_503_repeats_a_fine_tune_only_if_it_is_the_apis_or_states_that_nothing_was_done() {
    let envoy = |reason: &str| {
        format!("upstream connect error or disconnect/reset before headers. {reason}")
    };
    for (body, again) in [
        (OVERLOADED.to_owned(), true),
        (r#"{"error":"overloaded","request_id":"r"}"#.into(), true),
        (
            r#"{"message":"busy","type":"overloaded_error"}"#.into(),
            true,
        ),
        ("no healthy upstream".into(), true),
        (envoy("reset reason: connection failure"), true),
        (
            envoy(
                "reset reason: remote connection failure, transport failure reason: delayed \
                 connect error: 111",
            ),
            true,
        ),
        (envoy("reset reason: local connection failure"), true),
        (envoy("reset reason: overflow"), true),
        (envoy("reset reason: remote refused stream reset"), true),
        (envoy("reset reason: connection termination"), false),
        (envoy("reset reason: remote reset"), false),
        (envoy("reset reason: local reset"), false),
        (envoy("reset reason: protocol error"), false),
        // The attempts before the latest may have been forwarded.
        (
            envoy("retried and the latest reset reason: connection failure"),
            false,
        ),
        (envoy(""), false),
        (
            serde_json::json!({"error": {"message": envoy("reset reason: remote reset")}})
                .to_string(),
            false,
        ),
        (String::new(), false),
        ("{}".into(), false),
        (r#"{"message":"Service Unavailable"}"#.into(), false),
        (
            "<html><title>503 Service Unavailable</title></html>".into(),
            false,
        ),
        ("the buffer overflow of a connection failure".into(), false),
    ] {
        for limited in [false, true] {
            let script = Script::new([status(503).body(body.clone())]);
            let limits = TogetherRateLimitLayer::new(Limits::none());
            let response = match limited {
                true => {
                    let stack = exact().layer(limits.layer(script.client()));
                    stack.oneshot(post(FINE_TUNES)).await.unwrap().status()
                }
                false => {
                    let stack = exact().layer(script.client());
                    stack.oneshot(post(FINE_TUNES)).await.unwrap().status()
                }
            };
            let sent = script.sent().len();
            assert_eq!((response == 200, sent == 2), (again, again), "{body}");
        }
    }
}
