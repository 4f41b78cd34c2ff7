//! The retry layer, and both layers together, in virtual time.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod deadlines;
mod hook;
mod late;
mod memory;
mod settings;
mod shares;
mod timeouts;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use testing::script::{Reply, Script, status};
use tokio::time::{Instant, sleep};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_together::{
    ApiError, Classify, Limits, TogetherRateLimitLayer, TogetherRetryLayer,
    body::Memory,
    extension::{Deadline, Failure, Retries, RetryReport},
    retry::Budget,
};

const CHAT: &str = "/v1/chat/completions";
const FINE_TUNES: &str = "/v1/fine-tunes";
const OVERLOADED: &str = r#"{"error":{"message":"The server is overloaded"}}"#;

fn request(method: Method, path: &str) -> Request<Full<Bytes>> {
    let uri = format!("https://api.together.ai{path}");
    let request = Request::builder().method(method).uri(uri);
    request.body(Full::from("{}")).unwrap()
}

fn post(path: &str) -> Request<Full<Bytes>> {
    request(Method::POST, path)
}

/// A chat request that says something of itself.
fn with<T: Clone + Send + Sync + 'static>(said: T) -> Request<Full<Bytes>> {
    let mut request = post(CHAT);
    request.extensions_mut().insert(said);
    request
}

fn within(seconds: u64) -> Request<Full<Bytes>> {
    with(Deadline::within(Duration::from_secs(seconds)))
}

/// No jitter, so that the instants are known, and no end of retries out of the budget.
fn exact() -> TogetherRetryLayer {
    TogetherRetryLayer::default()
        .with_jitter(Duration::ZERO)
        .with_budget(Budget::unlimited())
}

/// Sends one request through the retry layer alone; when each attempt was made, and the result.
async fn send(
    layer: &TogetherRetryLayer,
    request: Request<Full<Bytes>>,
    replies: impl IntoIterator<Item = Reply>,
) -> (Vec<u128>, Result<u16, BoxError>) {
    let script = Script::new(replies);
    let answer = layer.layer(script.client()).oneshot(request).await;
    (
        script.millis(),
        answer.map(|answer| answer.status().as_u16()),
    )
}

/// The waits that a seed draws, in milliseconds, as Tokio's timer rounds them.
fn drawn(seed: u64, ceilings: &[u64]) -> Vec<u128> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut at = Duration::ZERO;
    let mut instants = vec![0];
    for seconds in ceilings {
        at += Duration::from_secs(*seconds).mul_f64(random.f64());
        at = Duration::from_millis(u64::try_from(at.as_nanos().div_ceil(1_000_000)).unwrap());
        instants.push(at.as_millis());
    }
    instants
}

/// What is sent again, and at which millisecond. `creates`: whether a fine-tune is, too.
#[tokio::test(start_paused = true)]
async fn every_status_of_the_table() {
    for (code, again, creates) in [
        (408, true, false),
        (500, true, false),
        (502, true, false),
        // Nothing states that it was not done.
        (503, true, false),
        (504, true, false),
        (520, true, false),
        (521, true, false),
        (522, true, false),
        (523, true, false),
        (524, true, false),
        (525, true, false),
        (529, true, false),
        (530, true, false),
        (400, false, false),
        (401, false, false),
        (402, false, false),
        (403, false, false),
        (404, false, false),
        (409, false, false),
        (413, false, false),
        (422, false, false),
        (501, false, false),
        (505, false, false),
        (511, false, false),
        (526, false, false),
    ] {
        for (path, again) in [(CHAT, again), (FINE_TUNES, creates)] {
            fastrand::seed(1);
            let replies = vec![status(code); 9];
            let (instants, last) = send(&exact(), post(path), replies).await;
            // Full jitter: of 1, 2, 4 and 8 s.
            let expected = if again {
                drawn(1, &[1, 2, 4, 8])
            } else {
                vec![0]
            };
            assert_eq!(instants, expected, "{code} {path}");
            assert_eq!(last.unwrap(), code);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_is_sent_again_when_the_server_said_and_never_before() {
    let date = |second: u8| format!("Sun, 06 Nov 1994 08:49:{second} GMT");
    for path in [CHAT, FINE_TUNES] {
        for (reply, wait) in [
            (status(429).header("retry-after", 7), 7_000),
            (status(429).header("retry-after", "0.25"), 250),
            (status(429).header("retry-after-ms", 40), 40),
            (status(429).header("x-ratelimit-reset", 43), 43_000),
            (
                status(429)
                    .header("date", date(37))
                    .header("retry-after", date(39)),
                2_000,
            ),
            // It says nothing, or nothing that makes sense.
            (status(429), 5_000),
            (status(429).header("retry-after", -3), 5_000),
            (status(429).header("retry-after", "NaN"), 5_000),
            (
                status(429)
                    .header("date", date(37))
                    .header("retry-after", date(36)),
                5_000,
            ),
            // A page of some proxy, which async-openai 0.43 takes for the end of all retries.
            (
                status(429).header("retry-after", 1).body("<html></html>"),
                1_000,
            ),
        ] {
            let (instants, last) = send(&exact(), post(path), [reply.clone()]).await;
            assert_eq!(instants, [0, wait], "{reply:?}");
            assert_eq!(last.unwrap(), 200);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn jitter_comes_after_the_instant() {
    let layer = TogetherRetryLayer::default();
    for (reply, least) in [
        (status(429).header("retry-after", 7), 7_000),
        (status(429), 5_000),
    ] {
        let mut instants = Vec::new();
        for _ in 0..50 {
            let (sent, _) = send(&layer, post(CHAT), [reply.clone()]).await;
            instants.push(sent[1]);
        }
        assert!(
            instants
                .iter()
                .all(|at| (least..least + 2_001).contains(at))
        );
        instants.dedup();
        assert!(instants.len() > 45, "{instants:?}");
    }
}

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

/// Without a job that is known to run such words may be about anything.
#[tokio::test(start_paused = true)]
async fn too_many_jobs_are_final_after_three_attempts_within_an_hour_each() {
    let words = r#"{"error":{"message":"The maximum of 3 active jobs is reached"}}"#;
    for code in [400, 409, 429] {
        for (wait, attempts) in [(1, 3), (1_800, 3), (3_599, 3), (3_600, 5), (7_200, 5)] {
            let layer = exact().with_max_wait(Duration::from_secs(7_200));
            let busy = status(code).header("retry-after", wait).body(words);
            let (instants, last) = send(&layer, post(FINE_TUNES), vec![busy; 9]).await;
            assert_eq!(instants.len(), attempts, "{code} {wait}");
            assert_eq!(last.unwrap(), code);
        }
    }
    // Of a request that creates nothing they say nothing.
    let busy = status(429).header("retry-after", 1).body(words);
    assert_eq!(send(&exact(), post(CHAT), vec![busy; 9]).await.0.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn money_run_out_is_final() {
    for reply in [
        status(402).header("retry-after", 1),
        status(429)
            .header("retry-after", 1)
            .body(r#"{"error":{"message":"m","code":"insufficient_quota"}}"#),
    ] {
        let (instants, last) = send(&exact(), post(CHAT), [reply]).await;
        assert_eq!(instants, [0]);
        assert!([402, 429].contains(&last.unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_longer_than_the_bound_is_not_waited_for() {
    for wait in ["121", "1e300", "9999999999999999999999"] {
        let reply = status(429).header("retry-after", wait);
        let (instants, last) = send(&exact(), post(CHAT), [reply]).await;
        assert_eq!(instants, [0]);
        assert_eq!(last.unwrap(), 429);
    }
    let reply = status(429).header("retry-after", 120);
    assert_eq!(send(&exact(), post(CHAT), [reply]).await.0, [0, 120_000]);
}

#[tokio::test(start_paused = true)]
async fn a_hint_counts_on_what_is_sent_again_only() {
    // Together was seen to send it with 200; and with a 503 it is a least wait too.
    let fine = status(200).header("retry-after", 30);
    assert_eq!(send(&exact(), post(CHAT), [fine]).await.0, [0]);
    let busy = status(503).header("retry-after", 3).body(OVERLOADED);
    assert_eq!(send(&exact(), post(FINE_TUNES), [busy]).await.0, [0, 3_000]);
}

#[tokio::test(start_paused = true)]
async fn x_should_retry_overrules_but_never_makes_two_of_one() {
    let should = |code, said| {
        status(code)
            .header("x-should-retry", said)
            .header("retry-after", 1)
    };
    for (path, reply, instants) in [
        (CHAT, should(400, "true"), &[0, 1_000][..]),
        (CHAT, should(409, "true"), &[0, 1_000]),
        (CHAT, should(503, "false"), &[0]),
        (CHAT, should(429, "false"), &[0]),
        (CHAT, should(400, "perhaps"), &[0]),
        (FINE_TUNES, should(500, "true"), &[0]),
        (FINE_TUNES, should(429, "true"), &[0, 1_000]),
    ] {
        let (sent, _) = send(&exact(), post(path), [reply.clone()]).await;
        assert_eq!(sent, instants, "{path} {reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_without_an_answer() {
    for (path, reply, again) in [
        (CHAT, Reply::Refused, true),
        (CHAT, Reply::Reset, true),
        (FINE_TUNES, Reply::Refused, true),
        (FINE_TUNES, Reply::Reset, false),
    ] {
        fastrand::seed(2);
        let (instants, last) = send(&exact(), post(path), [reply.clone()]).await;
        let expected = if again { drawn(2, &[1]) } else { vec![0] };
        assert_eq!(instants, expected, "{path} {reply:?}");
        // The client's own error, where it is left at that.
        assert_eq!(last.is_err(), !again);
    }
}

/// What must never be done twice is sent once, unless the caller says otherwise.
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

/// Envoy answers 503 too when the connection broke after the request was forwarded: a fine-tune was made
/// twice. RFC 9110, section 9.2.2: only where it is known that nothing was done.
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
            let answer = match limited {
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
            assert_eq!((answer == 200, sent == 2), (again, again), "{body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_says_wait_now_or_never() {
    let grpc = |code| status(200).header("grpc-status", code);
    let pushed = |code, pushback: &str| grpc(code).header("grpc-retry-pushback-ms", pushback);
    for (reply, instants) in [
        (pushed(14, "1500"), &[0, 1_500][..]),
        (pushed(8, "1500"), &[0, 1_500]),
        (pushed(14, "0"), &[0, 0]),
        (pushed(14, "-1"), &[0]),
        (pushed(14, "soon"), &[0]),
        (grpc(8), &[0, 5_000]),
        (grpc(13), &[0]),
        (pushed(3, "1500"), &[0]),
        (grpc(0), &[0]),
    ] {
        let (sent, _) = send(
            &exact(),
            post("/together.Inference/Generate"),
            [reply.clone()],
        )
        .await;
        assert_eq!(sent, instants, "{reply:?}");
    }
    fastrand::seed(3);
    let (sent, _) = send(&exact(), post("/together.Inference/Generate"), [grpc(14)]).await;
    assert_eq!(sent, drawn(3, &[1]));
}

#[tokio::test(start_paused = true)]
async fn a_request_says_how_often_and_until_when() {
    let busy = || vec![status(429).header("retry-after", 10); 9];
    let sent = async |request| send(&exact(), request, busy()).await.0;
    assert_eq!(sent(post(CHAT)).await.len(), 5);
    assert_eq!(sent(with(Retries::off())).await.len(), 1);
    assert_eq!(sent(with(Retries::at_most(2))).await.len(), 3);
    assert_eq!(sent(with(Retries::unlimited())).await.len(), 10);

    // The whole ends at the deadline: what does not fit is not waited for.
    assert_eq!(sent(within(25)).await, [0, 10_000, 20_000]);
    assert_eq!(sent(within(10)).await, [0]);
    let mut told = post(CHAT);
    told.headers_mut()
        .insert("x-stainless-timeout", "15".parse().unwrap());
    assert_eq!(sent(told).await, [0, 10_000]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_left_at_comes_whole_and_at_once() {
    let body = r#"{"error":{"message":"slow down","type":"dynamic_request_limited"}}"#;
    let script = Script::new([status(429).header("retry-after", 9).body(body)]);
    let start = Instant::now();
    let answer = exact()
        .layer(script.client())
        .oneshot(within(5))
        .await
        .unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    let error = answer.extensions().get::<ApiError>().unwrap();
    assert_eq!(error.kind(), Some("dynamic_request_limited"));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(9)));
    assert!(answer.extensions().get::<RetryReport>().is_none());
    let whole = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(whole, body);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_the_original_and_the_report_tells_of_them() {
    let script = Script::new([
        status(429).header("retry-after", 2),
        status(503).header("retry-after", 3),
        Reply::Refused,
    ]);
    let client = script.client();
    // Something beneath writes into its own copy.
    let beneath = service_fn(move |mut request: Request<Full<Bytes>>| {
        assert_eq!(request.headers()["x-mine"], "yes");
        assert!(!request.headers().contains_key("x-beneath"));
        assert!(request.extensions().get::<u8>().is_none());
        assert_eq!(request.extensions().get::<&str>(), Some(&"kept"));
        let value = "1".parse().unwrap();
        request.headers_mut().insert("x-beneath", value);
        request.extensions_mut().insert(1u8);
        client.clone().oneshot(request)
    });
    let mut original = post(CHAT);
    original
        .headers_mut()
        .insert("x-mine", "yes".parse().unwrap());
    original.extensions_mut().insert("kept");
    fastrand::seed(4);
    let answer = exact().layer(beneath).oneshot(original).await.unwrap();
    assert_eq!(answer.status(), 200);

    let attempts: Vec<_> = script.sent().iter().map(|sent| sent.attempt).collect();
    assert_eq!(attempts, [0, 2, 3, 4]);
    let report = answer.extensions().get::<RetryReport>().unwrap();
    assert_eq!(report.attempts(), 4);
    let codes = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    let [throttled, busy] = codes.map(Failure::Status);
    assert_eq!(report.failures(), [throttled, busy, Failure::NotSent]);
    // 2 s, 3 s, and of 4 s as much as was drawn.
    let waited = report.waited().as_millis();
    assert!((5_000..9_000).contains(&waited), "{waited}");
    assert!(script.millis()[3].abs_diff(waited) <= 1);
}

#[tokio::test(start_paused = true)]
async fn a_budget_bounds_what_an_outage_is_sent() {
    let layer = TogetherRetryLayer::default().with_backoff(Duration::ZERO, Duration::ZERO);
    let script = Script::new(vec![status(500); 100_000]);
    let service = layer.layer(script.client());
    for _ in 0..1_000 {
        service.clone().oneshot(post(CHAT)).await.unwrap();
        // A clone of the layer shares the budget; another layer would not.
        layer
            .clone()
            .layer(script.client())
            .oneshot(post(CHAT))
            .await
            .unwrap();
    }
    // 2,000 and a fifth of that, and ten.
    assert_eq!(script.sent().len(), 2_410);
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_of_the_last_minute() {
    let layer = exact()
        .with_backoff(Duration::ZERO, Duration::ZERO)
        .with_budget(Budget::new(0.5, 3));
    let script = Script::new(vec![status(500); 1_000]);
    let service = layer.layer(script.client());
    for (pause, first, retries) in [(0, 20, 13), (60, 4, 5), (2, 4, 2), (600, 1, 3)] {
        sleep(Duration::from_secs(pause)).await;
        let before = script.sent().len();
        for _ in 0..first {
            service.clone().oneshot(post(CHAT)).await.unwrap();
        }
        assert_eq!(script.sent().len() - before, first + retries, "{pause}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_togethers_is_left_alone() {
    let elsewhere = Classify::together().only_hosts(["other.example"]);
    let layer = exact().with_classify(elsewhere);
    assert_eq!(send(&layer, post(CHAT), [status(503)]).await.0, [0]);
}

#[tokio::test(start_paused = true)]
async fn a_report_is_bounded() {
    let script = Script::new(vec![status(429).header("retry-after", 1); 40]);
    let request = with(Retries::unlimited());
    let answer = exact().layer(script.client()).oneshot(request).await;
    let answer = answer.unwrap();
    let report = answer.extensions().get::<RetryReport>().unwrap();
    assert_eq!((report.attempts(), report.failures().len()), (41, 32));
}

/// It is sent once, its answer is returned, and another's retry is not lost to it.
#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_kept_costs_no_budget() {
    let layer = exact()
        .with_budget(Budget::new(0.0, 1))
        .with_memory(Memory::new(10, 10));
    let script = Script::new([status(503), status(503)]);
    let client = script.client();
    let service = layer.layer(service_fn(move |request: Request<String>| {
        client.clone().oneshot(request.map(Full::from))
    }));
    let send = async |body: &str| {
        let request = post(CHAT).map(|_| body.to_owned());
        service.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(send("more than ten bytes").await, 503);
    assert_eq!(script.sent().len(), 1);
    assert_eq!(send("ten bytes").await, 200);
    assert_eq!(script.sent().len(), 3);
}

/// A service that can never be ready again, as a `Buffer` whose worker is gone, says so once.
#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_is_passed_on() {
    let (inner, mut handle) =
        tower_test::mock::pair::<Request<Full<Bytes>>, Response<Full<Bytes>>>();
    handle.send_error("gone");
    let error = exact().layer(inner).oneshot(post(CHAT)).await.unwrap_err();
    assert_eq!(error.to_string(), "gone");
}

/// The same rules for those who have tower's own retry.
#[tokio::test(start_paused = true)]
async fn as_a_policy_of_tower_retry() {
    let script = Script::new([
        status(429).header("retry-after", 7),
        status(429).header("retry-after", 1),
    ]);
    let layer = exact();
    let mut service = tower::ServiceBuilder::new()
        .retry(layer.policy())
        .layer(TogetherRateLimitLayer::new(Limits::none()))
        .service(script.client());
    let answer = service
        .ready()
        .await
        .unwrap()
        .call(post(CHAT))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.extensions().get::<RetryReport>().unwrap().attempts(),
        3
    );
    assert_eq!(script.millis(), [0, 7_000, 8_000]);
    let attempts: Vec<_> = script.sent().iter().map(|sent| sent.attempt).collect();
    assert_eq!(attempts, [0, 2, 3]);

    // Alone, and what is to be sent once.
    let script = Script::new([status(503).header("retry-after", 3), status(404)]);
    let service = tower::retry::Retry::new(layer.policy(), script.client());
    let answer = service.clone().oneshot(post(CHAT)).await.unwrap();
    assert_eq!(answer.status(), 404);
    assert_eq!(script.millis(), [0, 3_000]);
    let script = Script::new([Reply::Reset]);
    let service = tower::retry::Retry::new(layer.policy(), script.client());
    assert!(service.oneshot(post(FINE_TUNES)).await.is_err());
    assert_eq!(script.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_policy_clones_no_request_that_is_sent_once() {
    let once = with(Retries::off());
    let clone = tower::retry::Policy::<_, Response<()>, BoxError>::clone_request;
    assert!(clone(&mut exact().policy(), &once).is_none());
    assert!(clone(&mut exact().policy(), &post(CHAT)).is_some());
}

/// `tower::retry` asks the service's own policy to clone a request: what was left there of the one
/// before was taken for the next, and a fine-tune sent five times after a chat.
#[tokio::test(start_paused = true)]
async fn a_policy_keeps_nothing_of_the_request_before() {
    let script = Script::new([status(200), status(500)]);
    let mut service = tower::retry::Retry::new(exact().policy(), script.client());
    for (request, code) in [
        (with(Retries::default().may_repeat()), 200),
        (post(FINE_TUNES), 500),
    ] {
        let answer = service.ready().await.unwrap().call(request).await;
        assert_eq!(answer.unwrap().status(), code);
    }
    assert_eq!(script.sent().len(), 2);

    // Nor of one that it left alone.
    let elsewhere = Classify::together().with(|method, uri| {
        (uri.path() == CHAT).then(|| tower_together::Endpoint::of(method, uri.path()))
    });
    let script = Script::new([status(200), status(503)]);
    let policy = exact().with_classify(elsewhere).policy();
    let mut service = tower::retry::Retry::new(policy, script.client());
    for (path, code) in [(CHAT, 200), ("/elsewhere", 503)] {
        let answer = service.ready().await.unwrap().call(post(path)).await;
        assert_eq!(answer.unwrap().status(), code);
    }
    assert_eq!(script.sent().len(), 2);
}
