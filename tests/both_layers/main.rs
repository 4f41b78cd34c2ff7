//! Both layers over one limiter, in virtual time: what a pause does.
#![allow(clippy::disallowed_methods, reason = "in virtual time, but for dates")]

use std::{
    convert::Infallible,
    fmt::Debug,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use testing::script::{Reply, Script, status};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{
    ApiError, Classify, Endpoint, Limiter, Limits, Quota, Rejected, TogetherLayer,
    TogetherRateLimitLayer, TogetherRetryLayer,
    body::Memory,
    extension::{Attempt, Deadline, Paused, Retries, RetryReport, Waited},
    limiter::Measure,
    retry::Budget,
};

const CHAT: &str = "/v1/chat/completions";
const FINE_TUNES: &str = "/v1/fine-tunes";

fn post(path: &str) -> Request<Full<Bytes>> {
    let request = Request::post(format!("https://api.together.ai{path}"));
    request.body(Full::from("{}")).unwrap()
}

fn within(seconds: u64) -> Request<Full<Bytes>> {
    let mut request = post(CHAT);
    let deadline = Deadline::within(Duration::from_secs(seconds));
    request.extensions_mut().insert(deadline);
    request
}

fn per_minute(max: u64) -> Limits {
    Limits::none().requests(Endpoint::ChatCompletions, Quota::per_minute(max).unwrap())
}

/// No jitter, so that the instants are known, and no end of retries out of the budget.
fn exact() -> TogetherRetryLayer {
    TogetherRetryLayer::default()
        .with_jitter(Duration::ZERO)
        .with_budget(Budget::unlimited())
}

fn both(limits: Limits) -> TogetherLayer {
    TogetherLayer::new(limits).with_retry(exact())
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_waits_in_its_lane_and_goes_first() {
    let script = Script::new([status(429).header("retry-after", 7)]);
    let layer = both(per_minute(600));
    let service = layer.layer(script.client());
    let first = tokio::spawn(service.clone().oneshot(post(CHAT)));
    tokio::task::yield_now().await;
    // They come while the lane is paused, and wait behind it.
    let others: Vec<_> = (0..2)
        .map(|_| tokio::spawn(service.clone().oneshot(post(CHAT))))
        .collect();
    let answer = first.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let report = answer.extensions().get::<RetryReport>().unwrap();
    // It slept nowhere but in its lane.
    assert_eq!(report.waited(), Duration::ZERO);
    let waited = answer.extensions().get::<Waited>().unwrap().duration();
    assert_eq!(waited.as_millis(), 7_000);
    for other in others {
        other.await.unwrap().unwrap();
    }
    let attempts: Vec<_> = script.sent().iter().map(|sent| sent.attempt).collect();
    assert_eq!(attempts, [0, 2, 0, 0]);
    let millis = script.millis();
    assert_eq!(millis[..2], [0, 7_000]);
    // One by one, and at half the pace at first.
    assert!(
        millis[2] >= 7_200 && millis[3] >= millis[2] + 195,
        "{millis:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_429_without_a_hint_pauses_the_lane_for_1_s_and_doubles() {
    let script = Script::new(vec![status(429); 7]);
    let mut patient = post(CHAT);
    patient.extensions_mut().insert(Retries::unlimited());
    both(per_minute(600))
        .layer(script.client())
        .oneshot(patient)
        .await
        .unwrap();
    let seconds: Vec<_> = script.millis().iter().map(|at| at / 1_000).collect();
    assert_eq!(seconds, [0, 1, 3, 7, 15, 31, 61, 91]);
}

/// Cloudflare's 1015 and 522 say it in JSON alone: attempts at 1, 3, 7 and 15 s were in vain.
#[tokio::test(start_paused = true)]
async fn a_wait_in_the_json_of_an_error_is_obeyed_by_both_layers() {
    let json = r#"{"title":"Error 1015: You are being rate limited","retry_after":30}"#;
    for code in [429, 503] {
        for head in [None, Some(0)] {
            let reply = || match head {
                None => status(code).body(json),
                Some(head) => status(code).body(json).header("retry-after", head),
            };
            let script = Script::new([reply()]);
            let layer = both(per_minute(600));
            let service = layer.layer(script.client());
            service.oneshot(post(CHAT)).await.unwrap();
            assert_eq!(script.millis(), [0, 30_000], "{code} {head:?}");

            let script = Script::new([reply()]);
            let service = exact().layer(script.client());
            service.oneshot(post(CHAT)).await.unwrap();
            assert_eq!(script.millis(), [0, 30_000], "{code} {head:?}");
        }
    }
    // Longer than it may be: it is not waited for.
    let script = Script::new([status(503).body(r#"{"retry_after":1200}"#)]);
    let answer = exact().layer(script.client()).oneshot(post(CHAT)).await;
    assert_eq!(answer.unwrap().status(), 503);
    assert_eq!(script.millis(), [0]);
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_server_that_says_for_how_long_pauses_the_lane_and_lowers_no_rate() {
    let script = Script::new([status(503).header("retry-after", 20)]);
    let layer = both(per_minute(600));
    let service = layer.layer(script.client());
    service.clone().oneshot(post(CHAT)).await.unwrap();
    assert_eq!(script.millis(), [0, 20_000]);
    let snapshot = layer.limiter().snapshot();
    assert_eq!((snapshot.admitted, snapshot.throttled), (2, 0));
    assert_eq!(snapshot.lanes[0].limits[0].max, 600);

    // Without a wait only that request backs off; others pass.
    let script = Script::new([status(503)]);
    let service = both(per_minute(60_000)).layer(script.client());
    fastrand::seed(5);
    let failed = tokio::spawn(service.clone().oneshot(post(CHAT)));
    sleep(Duration::from_millis(10)).await;
    service.oneshot(post(CHAT)).await.unwrap();
    assert_eq!(script.millis(), [0, 10]);
    failed.await.unwrap().unwrap();
    assert_eq!(script.sent().len(), 3);
}

/// gRPC's 8 means 429, and its 14 means 503. Both arrive in the headers of an HTTP 200.
#[tokio::test(start_paused = true)]
async fn grpc_statuses_8_and_14_pause_the_lane_and_no_other_status_does() {
    for (code, pushback, pause, throttled) in [
        (8, None, 1_000, 1),
        (8, Some("1500"), 1_500, 1),
        // A negative pushback forbids retries and names no wait.
        (8, Some("-1"), 1_000, 1),
        (14, Some("1500"), 1_500, 0),
        (14, None, 0, 0),
        (14, Some("-1"), 0, 0),
        (0, Some("1500"), 0, 0),
        (4, Some("1500"), 0, 0),
        (13, Some("1500"), 0, 0),
    ] {
        let mut reply = status(200).header("grpc-status", code);
        if let Some(pushback) = pushback {
            reply = reply.header("grpc-retry-pushback-ms", pushback);
        }
        let script = Script::new([reply.clone()]);
        let layer = TogetherRateLimitLayer::new(Limits::none());
        let service = layer.layer(script.client());
        let start = Instant::now();
        let response = service.clone().oneshot(post(CHAT)).await.unwrap();
        let until = response.extensions().get::<Paused>();
        let told = until.map_or(0, |paused| (paused.until() - start).as_millis());
        assert_eq!(told, pause, "{reply:?}");
        assert_eq!(layer.limiter().snapshot().throttled, throttled, "{reply:?}");
        service.oneshot(post(CHAT)).await.unwrap();
        assert_eq!(script.millis(), [0, pause], "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_grpc_request_waits_in_its_lane_and_goes_first() {
    for code in [8, 14] {
        let reply = status(200).header("grpc-status", code);
        let script = Script::new([reply.header("grpc-retry-pushback-ms", 1_500)]);
        let service = both(Limits::none()).layer(script.client());
        let refused = tokio::spawn(service.clone().oneshot(post(CHAT)));
        tokio::task::yield_now().await;
        let other = tokio::spawn(service.oneshot(post(CHAT)));
        let response = refused.await.unwrap().unwrap();
        let report = response.extensions().get::<RetryReport>().unwrap();
        assert_eq!((report.attempts(), report.waited()), (2, Duration::ZERO));
        other.await.unwrap().unwrap();
        let attempts: Vec<_> = script.sent().iter().map(|sent| sent.attempt).collect();
        assert_eq!(attempts, [0, 2, 0], "{code}");
        let millis = script.millis();
        assert!(millis[1] == 1_500 && millis[2] >= 1_500, "{millis:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_lanes_and_other_keys_are_not_paused() {
    let layer = both(Limits::none());
    let script = Script::new([status(429).header("retry-after", 60)]);
    let service = layer.layer(script.client());
    let refused = tokio::spawn(service.clone().oneshot(post(CHAT)));
    tokio::task::yield_now().await;
    let start = Instant::now();
    service
        .clone()
        .oneshot(post("/v1/embeddings"))
        .await
        .unwrap();
    let mut keyed = post(CHAT);
    keyed
        .headers_mut()
        .insert("authorization", "Bearer another".parse().unwrap());
    service.oneshot(keyed).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    let lanes = layer.limiter().snapshot().lanes;
    let paused: Vec<_> = lanes.iter().filter(|lane| lane.paused.is_some()).collect();
    assert_eq!(paused.len(), 1);
    assert_eq!(paused[0].endpoint, Endpoint::ChatCompletions);
    refused.await.unwrap().unwrap();
}

/// A pause past the deadline is not waited for: neither by the request that was refused, which gets
/// the server's answer, nor by one that waits or comes, which never leaves.
#[tokio::test(start_paused = true)]
async fn a_pause_past_the_deadline_is_told_at_once() {
    let script = Script::new([status(429).header("retry-after", 30)]);
    let service = both(per_minute(60)).layer(script.client());
    let start = Instant::now();
    let (first, second) = tokio::join!(
        service.clone().oneshot(within(5)),
        service.clone().oneshot(within(5))
    );
    let third = service.oneshot(within(5)).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    let first = first.unwrap();
    assert_eq!(first.status(), 429);
    assert!(first.extensions().get::<Rejected>().is_none());
    for refused in [second.unwrap(), third] {
        assert!(refused.extensions().get::<Rejected>().is_some());
        assert_eq!(refused.headers()["retry-after"], "30");
    }
    assert_eq!(script.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn out_of_money_pauses_nobody() {
    let broke = status(429)
        .header("retry-after", 60)
        .body(r#"{"error":{"message":"m","type":"insufficient_quota"}}"#);
    let script = Script::new([broke]);
    let service = both(Limits::none()).layer(script.client());
    let answer = service.clone().oneshot(post(CHAT)).await.unwrap();
    assert_eq!(answer.status(), 429);
    let error = answer.extensions().get::<ApiError>().unwrap();
    assert!(error.is_out_of_money());
    assert!(error.to_string().contains("billing"));
    service.oneshot(post(CHAT)).await.unwrap();
    assert_eq!(script.millis(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_our_own_is_never_retried() {
    let limits = per_minute(1);
    let script = Script::new([]);
    let limiter = Limiter::new(limits).with_max_wait(Duration::ZERO);
    let service = TogetherLayer::from(limiter)
        .with_retry(exact())
        .layer(script.client());
    service.clone().oneshot(post(CHAT)).await.unwrap();
    let start = Instant::now();
    let answer = service.oneshot(post(CHAT)).await.unwrap();
    assert_eq!(answer.status(), 429);
    assert!(answer.extensions().get::<Rejected>().is_some());
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(script.sent().len(), 1);
}

/// Promise: nothing of the inner service is held while waiting, an in-flight slot of our own neither.
#[tokio::test(start_paused = true)]
async fn a_backoff_holds_no_slot() {
    let limits = Limits::none().in_flight(Endpoint::ChatCompletions, NonZeroU32::MIN);
    let script = Script::new([status(500)]);
    let service = both(limits).layer(script.client());
    fastrand::seed(6);
    let backing_off = tokio::spawn(service.clone().oneshot(post(CHAT)));
    sleep(Duration::from_millis(1)).await;
    service.oneshot(post(CHAT)).await.unwrap();
    assert_eq!(script.millis(), [0, 1]);
    assert_eq!(backing_off.await.unwrap().unwrap().status(), 200);
}

/// Each attempt waits its turn and pays for itself.
#[tokio::test(start_paused = true)]
async fn every_attempt_pays() {
    let script = Script::new([Reply::Reset, Reply::Refused, status(500)]);
    let layer = both(per_minute(60));
    layer
        .layer(script.client())
        .oneshot(post(CHAT))
        .await
        .unwrap();
    assert_eq!(layer.limiter().snapshot().admitted, 4);
    let millis = script.millis();
    assert!(
        millis.windows(2).all(|pair| pair[1] - pair[0] >= 950),
        "{millis:?}"
    );
}

/// Answers the first attempt with a status, and with a body that takes its time.
fn dawdling<B>(
    status: u16,
    header: (&'static str, String),
    takes: u64,
) -> impl Service<
    Request<B>,
    Response = Response<impl Body<Data = Bytes, Error = Infallible>>,
    Error = Infallible,
> + Clone {
    service_fn(move |request: Request<B>| {
        let again = request.extensions().get::<Attempt>().is_some();
        let body = futures::stream::once(async move {
            sleep(Duration::from_millis(if again { 0 } else { takes })).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from("{}")))
        });
        let mut response = Response::new(StreamBody::new(Box::pin(body)));
        if !again {
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            let value = header.1.parse().unwrap();
            response.headers_mut().insert(header.0, value);
        }
        async { Ok::<_, Infallible>(response) }
    })
}

/// What the server asks for counts from when its answer's head came, not from its body's end.
#[tokio::test(start_paused = true)]
async fn a_slow_body_makes_no_pause_longer() {
    let two = || ("retry-after", "2".to_owned());
    // With a limiter that sees the answer, and by the retry layer's own clock.
    let start = Instant::now();
    let service = both(Limits::none()).layer(dawdling(429, two(), 700));
    assert_eq!(service.oneshot(post(CHAT)).await.unwrap().status(), 200);
    assert_eq!(start.elapsed().as_millis(), 2_000);
    let start = Instant::now();
    let service = exact().layer(dawdling(429, two(), 700));
    assert_eq!(service.oneshot(post(CHAT)).await.unwrap().status(), 200);
    assert_eq!(start.elapsed().as_millis(), 2_000);
}

/// Nor does it bring a date nearer, which counts by our own clock where the server tells no time. That
/// clock does not stand still in virtual time, so this takes real time.
#[tokio::test]
async fn after_a_slow_body_nothing_leaves_before_the_date_it_was_given() {
    let date = SystemTime::now() + Duration::from_secs(2);
    let said = || ("retry-after", httpdate::fmt_http_date(date));
    let date = httpdate::parse_http_date(&said().1).unwrap();
    let noted = |again: Arc<Mutex<Option<SystemTime>>>| {
        let client = dawdling(429, said(), 700);
        service_fn(move |request: Request<Full<Bytes>>| {
            if request.extensions().get::<Attempt>().is_some() {
                *again.lock().unwrap() = Some(SystemTime::now());
            }
            client.clone().oneshot(request)
        })
    };
    let [alone, over] = [(); 2].map(|()| Arc::<Mutex<Option<SystemTime>>>::default());
    let by_itself = exact().layer(noted(Arc::clone(&alone)));
    let over_limiter = both(Limits::none()).layer(noted(Arc::clone(&over)));
    let (one, other) = tokio::join!(
        by_itself.oneshot(post(CHAT)),
        over_limiter.oneshot(post(CHAT))
    );
    assert_eq!(
        (one.unwrap().status(), other.unwrap().status()),
        (StatusCode::OK, StatusCode::OK)
    );
    for again in [alone, over] {
        let at = again.lock().unwrap().expect("it was sent again");
        assert!(at >= date, "{:?} early", date.duration_since(at));
    }
}

/// And it is waited for no longer than a tenth of a second before the others are held back.
#[tokio::test(start_paused = true)]
async fn a_slow_body_lets_nobody_else_leave() {
    let layer = both(Limits::none());
    let seven = ("retry-after", "7".to_owned());
    let service = layer.layer(dawdling(429, seven, 100_000));
    let (refused, paused) = tokio::join!(service.oneshot(post(CHAT)), async {
        sleep(Duration::from_millis(101)).await;
        layer.limiter().snapshot().lanes[0].paused
    });
    assert!(paused.is_some());
    assert_eq!(refused.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn an_error_body_is_read_up_to_the_bound_of_the_layer_and_passed_on_whole() {
    let alone = exact().with_error_body(4, Duration::from_millis(200));
    let limited = TogetherRateLimitLayer::new(Limits::none());
    let limited = limited.with_error_body(4, Duration::from_millis(200));
    let script = Script::new(vec![status(400).body("too hot"); 2]);
    let retried = alone.layer(script.client()).oneshot(post(CHAT)).await;
    let limited_only = limited.layer(script.client()).oneshot(post(CHAT)).await;
    for response in [
        retried.unwrap().map(BodyExt::boxed),
        limited_only.unwrap().map(BodyExt::boxed),
    ] {
        let error = response.extensions().get::<ApiError>().unwrap();
        assert_eq!(error.text(), "too ");
        let whole = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(whole, "too hot");
    }
    let plain = || ("content-type", "text/plain".to_owned());
    let start = Instant::now();
    let slow = alone.layer(dawdling(400, plain(), 60_000));
    slow.oneshot(post(CHAT)).await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 200);
    let slow = limited.layer(dawdling(400, plain(), 60_000));
    slow.oneshot(post(CHAT)).await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 400);
}

/// The hint of the error that a stack returns to a request with a body that cannot be sent twice.
async fn hint<S, R>(stack: S, path: &str) -> &'static str
where
    S: Service<Request<String>, Response = Response<R>, Error: Debug>,
{
    let request = post(path).map(|_| "{}".to_owned());
    let answer = stack.oneshot(request).await.unwrap();
    let error = answer.extensions().get::<ApiError>().unwrap();
    error.hint().unwrap()
}

/// The rate limit layer recommended a `TogetherRateLimitLayer`.
#[tokio::test(start_paused = true)]
async fn a_hint_recommends_no_layer_and_no_limit_that_is_there() {
    let late = |status| dawdling(status, ("x-any", "any".to_owned()), 150);
    let alone = exact().with_memory(Memory::new(0, 0));
    let over = |limits| TogetherLayer::new(limits).with_retry(alone.clone());
    let layer = "TogetherRateLimitLayer";
    let none = Limits::none;
    assert!(hint(alone.layer(late(429)), CHAT).await.contains(layer));
    let limited = TogetherRateLimitLayer::new(none());
    assert!(!hint(limited.layer(late(429)), CHAT).await.contains(layer));
    // The retry layer has read more of the body than the limiter had.
    let both_layers = over(none()).layer(late(429));
    assert!(!hint(both_layers, CHAT).await.contains(layer));

    let (jobs, batches) = ("Limits::jobs", "/v1/batches");
    let crowded = || {
        service_fn(async |_: Request<String>| {
            let busy = r#"{"error":{"message":"too many jobs are running"}}"#;
            let busy = Response::builder().status(409).body(Full::from(busy));
            Ok::<_, Infallible>(busy.unwrap())
        })
    };
    assert!(
        hint(over(none()).layer(crowded()), batches)
            .await
            .contains(jobs)
    );
    let three = none().jobs(Endpoint::BatchCreate, NonZeroU32::new(3).unwrap());
    assert!(
        !hint(over(three).layer(crowded()), batches)
            .await
            .contains(jobs)
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_response_is_drained_within_the_bound_of_the_layer_and_half_of_what_is_left() {
    let layer = exact()
        .with_error_body(1_024, Duration::from_millis(100))
        .with_drain(1_024, Duration::from_millis(300));
    for (deadline, left) in [(60_000, 400), (250, 175)] {
        let soon = ("retry-after-ms", "10".to_owned());
        let service = layer.layer(dawdling(503, soon, 60_000));
        let start = Instant::now();
        let mut request = post(CHAT);
        let deadline = Deadline::within(Duration::from_millis(deadline));
        request.extensions_mut().insert(deadline);
        assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
        assert_eq!(start.elapsed().as_millis(), left);
    }
}

/// An answer that is read, or thrown away, for longer than its caller waits, is its last.
#[tokio::test(start_paused = true)]
async fn no_attempt_leaves_after_the_deadline_however_slow_the_answer_before() {
    let half = || ("retry-after-ms", "500".to_owned());
    for takes in [700, 900, 100_000] {
        let start = Instant::now();
        let mut hurried = post(CHAT);
        let deadline = Deadline::within(Duration::from_millis(800));
        hurried.extensions_mut().insert(deadline);
        let service = exact().layer(dawdling(500, half(), takes));
        let answer = service.oneshot(hurried).await.unwrap();
        let took = start.elapsed().as_millis();
        assert_eq!(answer.status(), if takes == 700 { 200 } else { 500 });
        assert_eq!(took, if takes == 700 { 700 } else { 800 }, "{takes}");
    }
}

/// Both layers are told at once, in whatever order, or the one would act on what the other leaves
/// alone.
#[tokio::test(start_paused = true)]
async fn both_layers_act_on_the_same_requests() {
    let elsewhere = || Classify::together().only_hosts(["other.example"]);
    for layer in [
        both(per_minute(1)).with_classify(elsewhere()),
        TogetherLayer::new(per_minute(1))
            .with_classify(elsewhere())
            .with_retry(exact()),
    ] {
        let script = Script::new([status(503)]);
        let service = layer.layer(script.client());
        for _ in 0..3 {
            service.clone().oneshot(post(CHAT)).await.unwrap();
        }
        assert_eq!(script.millis(), [0, 0, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_our_own_in_grpc_is_never_retried_either() {
    let script = Script::new([]);
    let limiter = Limiter::new(per_minute(1)).with_max_wait(Duration::ZERO);
    let service = TogetherLayer::from(limiter)
        .with_retry(exact())
        .layer(script.client());
    service.clone().oneshot(post(CHAT)).await.unwrap();
    let mut grpc = post(CHAT);
    let kind = HeaderValue::from_static("application/grpc");
    grpc.headers_mut().insert("content-type", kind);
    let answer = service.oneshot(grpc).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "8");
    assert!(answer.extensions().get::<RetryReport>().is_none());
    assert_eq!(script.sent().len(), 1);
}

/// A request failed whose server asked for more than 2 minutes, and those behind it in its lane waited for
/// them.
#[tokio::test(start_paused = true)]
async fn a_rejected_request_waits_in_its_lane_as_long_as_those_behind_it() {
    for code in [429, 503] {
        for seconds in [121, 1_200, 3_600] {
            let script = Script::new([status(code).header("retry-after", seconds)]);
            let service = both(per_minute(60)).layer(script.client());
            let (first, second) = tokio::join!(
                service.clone().oneshot(post(CHAT)),
                service.clone().oneshot(post(CHAT))
            );
            assert_eq!(first.unwrap().status(), 200);
            assert_eq!(second.unwrap().status(), 200);
            let sent: Vec<_> = script.sent().iter().map(|sent| sent.attempt).collect();
            assert_eq!(sent, [0, 2, 0]);
            assert_eq!(script.millis()[1], 1_000 * seconds);
        }
    }
    // The limiter's own bound is one for both too.
    let script = Script::new([status(429).header("retry-after", 1_200)]);
    let limiter = Limiter::new(per_minute(60)).with_max_wait(Duration::from_secs(60));
    let service = TogetherLayer::from(limiter)
        .with_retry(exact())
        .layer(script.client());
    let start = Instant::now();
    let (first, second) = tokio::join!(
        service.clone().oneshot(post(CHAT)),
        service.clone().oneshot(post(CHAT))
    );
    for rejected in [first.unwrap(), second.unwrap()] {
        assert!(rejected.extensions().get::<Rejected>().is_some());
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// A lane is paused for an hour at most, since an instant may be nonsense. The request that was told to wait
/// for two hours was sent after one.
#[tokio::test(start_paused = true)]
async fn a_request_is_never_sent_before_the_instant_that_it_was_told() {
    let hours = |hours: u64| Duration::from_secs(3_600 * hours);
    for (path, code) in [(CHAT, 429), (CHAT, 503), (FINE_TUNES, 429)] {
        for (most, retries) in [
            (Some(hours(3)), true),
            (Some(hours(1)), false),
            (None, false),
        ] {
            let script = Script::new([status(code).header("retry-after", 7_200)]);
            // The lane paces what waits for it.
            let retry = exact().with_budget(Budget::new(0.0, 0));
            let retry = match most {
                Some(most) => retry.with_max_wait(most),
                None => retry,
            };
            let layer = TogetherLayer::new(per_minute(60)).with_retry(retry);
            let service = layer.layer(script.client());
            let told = tokio::spawn(service.clone().oneshot(post(path)));
            sleep(Duration::from_millis(1)).await;
            let behind = tokio::spawn(service.oneshot(post(path)));
            let told = told.await.unwrap().unwrap().status().as_u16();
            assert_eq!(behind.await.unwrap().unwrap().status(), 200);
            let sent = script.sent().into_iter();
            let sent: Vec<_> = sent.map(|sent| (sent.attempt, sent.at.as_secs())).collect();
            let probed = [(0, 0), (0, 3_600)];
            assert_eq!(sent[..2], probed);
            assert_eq!(sent[2..], if retries { vec![(2, 7_200)] } else { vec![] });
            assert_eq!(told, if retries { 200 } else { code });
        }
    }
}

/// A job that ended earlier let it go before.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_job_waits_for_the_instant_that_it_was_told_too() {
    for (told, ends, sent) in [(60, 10, 60), (60, 100, 100), (60, 60, 60)] {
        let created = r#"{"id":"ft-1","status":"pending"}"#;
        let words = r#"{"error":{"message":"Too many concurrent fine-tuning jobs"}}"#;
        let busy = status(429).header("retry-after", told).body(words);
        let script = Script::new([status(200).body(created), busy]);
        let limits = Limits::none().jobs(Endpoint::FineTuneCreate, NonZeroU32::new(2).unwrap());
        let limiter = Limiter::new(limits);
        let layer = TogetherLayer::from(limiter.clone()).with_retry(exact());
        let service = layer.layer(script.client());
        service.clone().oneshot(post(FINE_TUNES)).await.unwrap();
        let waits = tokio::spawn(service.oneshot(post(FINE_TUNES)));
        sleep(Duration::from_secs(ends)).await;
        assert!(limiter.job_ended("ft-1"));
        assert_eq!(waits.await.unwrap().unwrap().status(), 200);
        assert_eq!(script.sent()[2].at.as_secs(), sent);
    }
}

/// The time that has passed since the first attempt is the caller's too.
#[tokio::test(start_paused = true)]
async fn every_attempt_has_the_same_deadline() {
    let script = Script::new([status(500)]);
    let service = both(per_minute(6)).layer(script.client());
    fastrand::seed(7);
    let start = Instant::now();
    // The second attempt's turn comes after 10.03 s, and it is made a little after the first.
    let answer = service.oneshot(within(10)).await.unwrap();
    assert!(answer.extensions().get::<Rejected>().is_some());
    assert!(start.elapsed() > Duration::from_millis(50));
    assert!(start.elapsed() < Duration::from_secs(1));
}

/// The limiter paces what waits in its lane, so the budget is for the others.
#[tokio::test(start_paused = true)]
async fn what_waits_in_its_lane_costs_no_budget() {
    let broke = TogetherRetryLayer::default().with_budget(Budget::new(0.0, 0));
    let layer = TogetherLayer::new(Limits::none()).with_retry(broke);
    let script = Script::new([status(429).header("retry-after", 1), status(500)]);
    let answer = layer.layer(script.client()).oneshot(post(CHAT)).await;
    assert_eq!(answer.unwrap().status(), 500);
    assert_eq!(script.millis(), [0, 1_000]);
}

/// No bound of the layers keeps a service out that is not `Send` or borrows, nor makes a future less
/// `Send` than what it sends through.
#[tokio::test(start_paused = true)]
async fn any_service_will_do() {
    let sent = std::rc::Rc::new(std::cell::Cell::new(0));
    let sent = &sent;
    let borrowing = service_fn(move |_: Request<Full<Bytes>>| async move {
        sent.set(sent.get() + 1);
        let mut response = Response::new(Full::<Bytes>::default());
        if sent.get() == 1 {
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
        Ok::<_, Infallible>(response)
    });
    let answer = both(Limits::none())
        .layer(borrowing)
        .oneshot(post(CHAT))
        .await;
    assert_eq!(answer.unwrap().status(), 200);
    assert_eq!(sent.get(), 2);

    fn assert_send<T: Send>(_: &T) {}
    let script = Script::new([]);
    let service = both(Limits::none()).layer(script.client());
    assert_send(&service);
    let call = service.oneshot(post(CHAT));
    assert_send(&call);
    assert_send(&call.await);
}

/// Sends so many, one after another.
async fn in_turn(script: &Script, layer: &TogetherLayer, many: usize) -> Vec<u128> {
    let service = layer.layer(script.client());
    for _ in 0..many {
        service.clone().oneshot(post(CHAT)).await.unwrap();
    }
    script.millis()
}

#[tokio::test(start_paused = true)]
async fn what_is_left_may_leave_and_then_nothing_until_the_reset() {
    let says = |left: u32| {
        let answer = status(200).header("x-ratelimit-remaining", left);
        answer.header("x-ratelimit-reset", 20)
    };
    let script = Script::new([says(0)]);
    assert_eq!(in_turn(&script, &both(per_minute(600)), 2).await[1], 20_000);
    let script = Script::new([says(2)]);
    let millis = in_turn(&script, &both(per_minute(600)), 4).await;
    assert!(millis[2] < 1_000 && millis[3] == 20_000, "{millis:?}");
    // What left before the answer came is not left again.
    let script = Script::new([says(3)]);
    let layer = both(per_minute(600));
    let slow = layer.layer(service_fn({
        let script = script.clone();
        move |request| {
            let answer = script.client().oneshot(request);
            async move {
                sleep(Duration::from_secs(1)).await;
                answer.await
            }
        }
    }));
    let first: Vec<_> = (0..3)
        .map(|_| tokio::spawn(slow.clone().oneshot(post(CHAT))))
        .collect();
    for answer in first {
        answer.await.unwrap().unwrap();
    }
    let left = Instant::now();
    in_turn(&script, &layer, 2).await;
    assert!(left.elapsed() >= Duration::from_secs(18));
}

#[tokio::test(start_paused = true)]
async fn how_long_a_refusal_asks_to_wait_is_all_that_it_says_of_the_time() {
    let refusal = status(429).header("retry-after", 1);
    let refusal = refusal.header("x-ratelimit-remaining", 0);
    let script = Script::new([refusal.header("x-ratelimit-reset", 60)]);
    let millis = in_turn(&script, &both(per_minute(600)), 1).await;
    assert_eq!(millis, [0, 1_000]);
}

/// A create waits for another job to end only if the limiter limits jobs.
#[tokio::test(start_paused = true)]
async fn a_429_that_speaks_of_jobs_pauses_its_lane_where_no_jobs_are_limited() {
    for path in [CHAT, "/v1/fine-tunes"] {
        let words = r#"{"error":{"message":"too many jobs are running"}}"#;
        let refusal = status(429).header("retry-after", 7).body(words);
        let script = Script::new([refusal]);
        let service = both(Limits::none()).layer(script.client());
        service.oneshot(post(path)).await.unwrap();
        assert_eq!(script.millis(), [0, 7_000], "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_what_there_were_too_many_is_read_in_words_too() {
    for (message, lowered) in [
        (
            r#"{"error":{"message":"Request was rejected due to token rate limiting."}}"#,
            // Of tokens there is no limit to lower yet, and it says nothing of requests.
            [].as_slice(),
        ),
        (
            r#"{"error":{"message":"Request was rejected due to request rate limiting."}}"#,
            &[Measure::Requests],
        ),
    ] {
        let refusal = status(429).header("retry-after", 1).body(message);
        let refusal = refusal.header("content-type", "application/json");
        let script = Script::new([refusal]);
        let layer = both(Limits::default());
        in_turn(&script, &layer, 1).await;
        let lanes = layer.limiter().snapshot().lanes;
        let learned = lanes[0].limits.iter().filter(|limit| limit.learned);
        let learned: Vec<_> = learned.map(|limit| limit.measure).collect();
        assert_eq!(learned, lowered, "{message}");
    }
}
