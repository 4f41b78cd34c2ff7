//! A response is reported in one call.

use std::{
    convert::Infallible,
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, response};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer,
    extension::{Cost, Paused},
    limiter::{Call, Permit, Reason, Report},
};

use super::{CHAT, chat};

/// A response as the server sends it.
type Sent = (u16, &'static [(&'static str, &'static str)], &'static str);

fn built((status, headers, body): Sent) -> Response<Full<Bytes>> {
    let builder = Response::builder().status(status);
    let builder = headers.iter().fold(builder, |builder, (name, value)| {
        builder.header(*name, *value)
    });
    builder.body(Full::from(body)).unwrap()
}

fn read(endpoint: Endpoint, response: Sent) -> Report {
    let (
        response::Parts {
            status, headers, ..
        },
        _,
    ) = built(response).into_parts();
    Report::read(
        endpoint,
        status,
        &headers,
        response.2.as_bytes(),
        SystemTime::now(),
    )
}

fn too_many(body: &'static str) -> Sent {
    (429, &[("retry-after", "5")], body)
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// Requests, of which some change what those after them find.
const DIALOGUE: [(&str, &str, Sent); 14] = [
    (
        "POST",
        "chat/completions",
        (200, &[JSON], r#"{"usage":{"total_tokens":900}}"#),
    ),
    (
        "POST",
        "chat/completions",
        (200, &[("x-ratelimit-limit", "4")], ""),
    ),
    (
        "POST",
        "chat/completions",
        (200, &[("x-tokenlimit-limit", "50")], ""),
    ),
    (
        "POST",
        "chat/completions",
        (
            429,
            &[
                ("retry-after", "7"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "60"),
            ],
            r#"{"error":{"message":"Your rate limit is 60 queries per minute","type":"rate"}}"#,
        ),
    ),
    (
        "POST",
        "chat/completions",
        (429, &[], r#"{"error_type":"dynamic_token_limited"}"#),
    ),
    (
        "POST",
        "chat/completions",
        (503, &[("retry-after", "20")], ""),
    ),
    ("POST", "chat/completions", (503, &[], "")),
    (
        "POST",
        "chat/completions",
        (400, &[], r#"{"error":"1 requests per minute"}"#),
    ),
    ("POST", "chat/completions", (408, &[], "")),
    (
        "POST",
        "chat/completions",
        (
            200,
            &[("grpc-status", "8"), ("grpc-retry-pushback-ms", "900")],
            "",
        ),
    ),
    (
        "POST",
        "batches",
        (
            200,
            &[JSON],
            r#"{"job":{"id":"b-1","status":"VALIDATING"}}"#,
        ),
    ),
    (
        "POST",
        "batches",
        (
            429,
            &[("retry-after", "9")],
            r#"{"error":"Too many batches running"}"#,
        ),
    ),
    (
        "GET",
        "batches",
        (200, &[JSON], r#"[{"id":"b-1","status":"IN_PROGRESS"}]"#),
    ),
    ("GET", "batches/b-1", (404, &[], "")),
];

fn limits() -> Limits {
    let tokens = Quota::per_minute(10_000).unwrap().unpaced();
    Limits::default()
        .tokens(CHAT, tokens)
        .jobs(Endpoint::BatchCreate, NonZeroU32::new(2).unwrap())
}

/// A program without tower that reports its responses knows as much as one with the layer.
#[tokio::test(start_paused = true)]
async fn a_report_read_by_hand_does_what_the_layer_does() {
    let by_layer = Limiter::new(limits());
    let by_hand = Limiter::new(limits());
    let mut paused = 0;
    for (method, path, response) in DIALOGUE {
        let service = TogetherRateLimitLayer::from(by_layer.clone()).layer(service_fn(
            move |_: Request<Full<Bytes>>| async move { Ok::<_, Infallible>(built(response)) },
        ));
        let request = Request::builder()
            .method(method)
            .uri(format!("https://api.together.ai/v1/{path}"))
            .extension(Cost::of_tokens(500));
        let layer = async {
            let response = service
                .oneshot(request.body(Full::default()).unwrap())
                .await
                .unwrap();
            let until = response.extensions().get::<Paused>().copied();
            response.into_body().collect().await.unwrap();
            until.map(Paused::until)
        };
        let endpoint = match (method, path) {
            (_, "chat/completions") => CHAT,
            ("POST", _) => Endpoint::BatchCreate,
            (_, "batches") => Endpoint::BatchList,
            _ => Endpoint::BatchGet,
        };
        let hand = async {
            let call = Call::new(endpoint).with_tokens(500);
            let mut permit = by_hand.acquire(call).await.unwrap();
            permit.report(&read(endpoint, response).about_job("b-1"))
        };
        let (one, other) = tokio::join!(layer, hand);
        assert_eq!(one, other, "{path} {response:?}");
        paused += u32::from(one.is_some());
        let [one, other] =
            [&by_layer, &by_hand].map(|limiter| format!("{:#?}", limiter.snapshot()));
        assert_eq!(one, other, "{path} {response:?}");
    }
    assert_eq!((paused, by_hand.snapshot().throttled_count), (4, 3));
    assert!(by_hand.snapshot().jobs.is_empty());
}

/// The refund of a rejected request is no use to a lane that the same response pauses: the next request was woken for
/// it, and found the pause.
#[tokio::test(start_paused = true)]
async fn no_request_is_woken_between_what_a_response_gives_back_and_the_pause_it_asks_for() {
    for by_layer in [false, true] {
        let quota = Quota::per_minute(1_000).unwrap().unpaced();
        let limiter = Limiter::new(Limits::none().tokens(CHAT, quota));
        let service = TogetherRateLimitLayer::from(limiter.clone()).layer(service_fn(
            |_: Request<Full<Bytes>>| async {
                sleep(Duration::from_secs(1)).await;
                Ok::<_, Infallible>(built(too_many("")))
            },
        ));
        let request = Request::post("https://api.together.ai/v1/chat/completions");
        let request = request.extension(Cost::of_tokens(1_000));
        let mut response = task::spawn(service.oneshot(request.body(Full::default()).unwrap()));
        let mut permit = None;
        if by_layer {
            assert_pending!(response.poll());
        } else {
            permit = Some(limiter.acquire(chat().with_tokens(1_000)).await.unwrap());
        }
        let mut next = task::spawn(limiter.acquire(chat().with_tokens(500)));
        assert_pending!(next.poll());
        sleep(Duration::from_secs(1)).await;
        match &mut permit {
            Some(permit) => drop(permit.report(&read(CHAT, too_many("")))),
            None => drop(assert_ready!(response.poll()).unwrap()),
        }
        assert!(!next.is_woken());
        sleep(Duration::from_secs(4)).await;
        assert!(!next.is_woken());
        sleep(Duration::from_millis(1_001)).await;
        assert!(next.is_woken());
        drop(assert_ready!(next.poll()).unwrap());
    }
}

/// The report that pauses a lane also rejects the requests that cannot leave in time.
#[tokio::test(start_paused = true)]
async fn a_report_rejects_the_requests_that_its_pause_makes_hopeless() {
    let quota = Quota::per_minute(1_000).unwrap().unpaced();
    let limiter = Limiter::new(Limits::none().tokens(CHAT, quota));
    let mut permit = limiter.acquire(chat().with_tokens(1_000)).await.unwrap();
    let hurried = chat()
        .with_tokens(500)
        .with_deadline(Duration::from_secs(70));
    let mut hurried = task::spawn(limiter.acquire(hurried));
    assert_pending!(hurried.poll());
    permit.report(&read(CHAT, (429, &[("retry-after", "90")], "")));
    assert!(hurried.is_woken());
    let rejected = assert_ready!(hurried.poll()).unwrap_err();
    assert_eq!(rejected.reason(), Reason::Deadline);
}

/// All requests in flight when a lane is paused are rejected. They count once, however late their responses are
/// reported, and those sent after the pause count anew.
#[tokio::test(start_paused = true)]
async fn a_request_sent_before_the_newest_pause_is_a_straggler_at_any_time() {
    let limiter = Limiter::new(Limits::none());
    let start = Instant::now();
    let send = async || limiter.acquire(chat()).await.unwrap();
    let mut early = [send().await, send().await, send().await];
    let unnamed = read(CHAT, (429, &[], ""));
    let reject = |permit: &mut Permit| {
        let until = permit.report(&unnamed).unwrap();
        until.duration_since(start).as_secs()
    };
    assert_eq!([reject(&mut early[0]), reject(&mut early[1])], [1, 1]);
    let mut after = [send().await, send().await];
    assert_eq!(start.elapsed().as_secs(), 1);
    // Too early: the pause doubles, once for both. The earliest request is still a straggler.
    assert_eq!([reject(&mut after[0]), reject(&mut after[1])], [3, 3]);
    assert_eq!(reject(&mut early[2]), 3);
    assert_eq!(limiter.snapshot().throttled_count, 5);
}

/// A report without a wait or a limit has no effect.
#[tokio::test(start_paused = true)]
async fn a_report_that_says_nothing_changes_nothing() {
    let limiter = Limiter::new(limits());
    let mut permit = limiter.acquire(chat().with_tokens(500)).await.unwrap();
    let before = format!("{:?}", limiter.snapshot());
    for status in [StatusCode::OK, StatusCode::FOUND, StatusCode::BAD_GATEWAY] {
        let report = Report::read(CHAT, status, &HeaderMap::new(), b"", SystemTime::now());
        // An error of the server counts once a pace is learned.
        assert_eq!(report == Report::default(), !status.is_server_error());
        assert_eq!(permit.report(&report), None);
    }
    assert_eq!(format!("{:?}", limiter.snapshot()), before);
}

/// 100,000 tokens that no pace was charged came back to the pace of the 1,000 after them.
#[tokio::test(start_paused = true)]
async fn nothing_comes_back_of_what_was_charged_before_the_server_named_its_tokens() {
    let named = (200, &[("x-tokenlimit-limit", "100")][..], "");
    let second = Duration::from_secs(1);
    let quota = Quota::per_minute(1_000_000).unwrap();
    for limits in [Limits::none(), Limits::default().tokens(CHAT, quota)] {
        // The lane begins to count tokens; or it begins anew, under another table.
        for changes in [false, true] {
            for response in [
                too_many(""),
                (200, &[JSON], r#"{"usage":{"total_tokens":100}}"#),
            ] {
                let limiter = Limiter::new(limits.clone());
                let acquire = |tokens| limiter.acquire(chat().with_tokens(tokens));
                let mut first = acquire(10_000).await.unwrap();
                sleep(5 * second).await;
                if changes {
                    limiter.set_limits(limits.clone());
                }
                let mut other = acquire(0).await.unwrap();
                other.report(&read(CHAT, named));
                sleep(second).await;
                drop(acquire(1_000).await.unwrap());
                let start = Instant::now();
                first.report(&read(CHAT, response));
                drop(acquire(1).await.unwrap());
                let waited = start.elapsed();
                assert!(waited >= 9 * second, "{changes}: {waited:?}");
            }
        }
    }
}
