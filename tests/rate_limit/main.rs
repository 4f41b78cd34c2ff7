//! The layer over mocked and hostile inner services, in virtual time.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

use std::{
    convert::Infallible,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_together::{
    Classify, Endpoint, Limiter, Limits, Quota, Rejected, TogetherLayer, TogetherRateLimitLayer,
    body::Opaque,
    extension::{ApiKey, Attempt, Caller, Deadline, InLine, Model, Waited},
    limiter::{Reason, Slot},
};

const CHAT: &str = "https://api.together.ai/v1/chat/completions";

fn per_minute(max: u64) -> TogetherRateLimitLayer {
    let quota = Quota::per_minute(max).unwrap();
    TogetherRateLimitLayer::new(Limits::none().requests(Endpoint::ChatCompletions, quota))
}

fn chat() -> Request<Empty<Bytes>> {
    Request::post(CHAT).body(Empty::new()).unwrap()
}

/// Answers at once, with nothing.
async fn nothing<B>(_: Request<B>) -> Result<Response<Empty<Bytes>>, Infallible> {
    Ok(Response::new(Empty::new()))
}

/// How long each of these took to be answered, one after the other.
async fn elapsed<S, B, T, E: std::fmt::Debug>(
    service: &S,
    requests: impl IntoIterator<Item = Request<B>>,
) -> Vec<u128>
where
    S: Service<Request<B>, Response = T, Error = E> + Clone,
{
    let mut times = Vec::new();
    for request in requests {
        let start = Instant::now();
        service.clone().oneshot(request).await.unwrap();
        times.push(start.elapsed().as_millis());
    }
    times
}

#[tokio::test(start_paused = true)]
async fn a_request_leaves_when_its_turn_comes_and_says_how_long_it_waited() {
    let (mut service, mut server) =
        tower_test::mock::spawn_layer::<Request<Empty<Bytes>>, _, _>(per_minute(60));
    server.allow(2);
    assert_ready!(service.poll_ready()).unwrap();
    let mut first = task::spawn(service.call(chat()));
    let mut second = task::spawn(service.call(chat()));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    let (_, reply) = server.next_request().await.unwrap();
    reply.send_response(Response::new(Empty::<Bytes>::new()));
    let answer = assert_ready!(first.poll()).unwrap();
    assert!(answer.extensions().get::<Waited>().is_none());

    sleep(Duration::from_millis(1_005)).await;
    assert!(second.is_woken());
    assert_pending!(second.poll());
    let (_, reply) = server.next_request().await.unwrap();
    reply.send_response(Response::new(Empty::new()));
    let answer = assert_ready!(second.poll()).unwrap();
    let waited = answer.extensions().get::<Waited>().unwrap().duration();
    assert!((950..=1_006).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_an_answer_and_the_request_never_leaves() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let service = per_minute(60).layer(service_fn(move |request| {
        counted.fetch_add(1, Ordering::Relaxed);
        nothing::<Empty<Bytes>>(request)
    }));
    service.clone().oneshot(chat()).await.unwrap();
    let mut late = chat();
    late.extensions_mut()
        .insert(Deadline::within(Duration::from_millis(500)));
    let answer = service.clone().oneshot(late).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers()["retry-after"], "2");
    let rejected = answer.extensions().get::<Rejected>().unwrap();
    assert_eq!(rejected.reason(), Reason::Deadline);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["code"], "deadline");

    let mut told = chat();
    told.headers_mut()
        .insert("x-stainless-timeout", "0.5".parse().unwrap());
    let answer = service.clone().oneshot(told).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(sent.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_in_grpc_if_the_request_is() {
    for (content_type, grpc) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc;charset=utf-8", true),
        ("application/grpc-web", false),
        ("application/json", false),
    ] {
        let service = per_minute(1).layer(service_fn(nothing));
        let hurried = || {
            let mut request = chat();
            let value = content_type.parse().unwrap();
            request.headers_mut().insert("content-type", value);
            let deadline = Deadline::within(Duration::from_secs(1));
            request.extensions_mut().insert(deadline);
            service.clone().oneshot(request)
        };
        hurried().await.unwrap();
        let refusal = hurried().await.unwrap();
        let expected = match grpc {
            true => (StatusCode::OK, true),
            false => (StatusCode::TOO_MANY_REQUESTS, false),
        };
        let told = refusal.headers().contains_key("grpc-status");
        assert_eq!((refusal.status(), told), expected, "{content_type}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_have_limits_of_their_own_and_one_name_makes_them_one() {
    let service = per_minute(1).layer(service_fn(nothing));
    let keyed = |key: &str| {
        let mut request = chat();
        let value = format!("Bearer {key}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
        request
    };
    let extended = |key| {
        let mut request = chat();
        request.extensions_mut().insert(key);
        request
    };
    let times = elapsed(&service, [keyed("a"), keyed("b"), chat()]).await;
    assert_eq!(times, [0, 0, 0]);
    assert!(elapsed(&service, [keyed("a")]).await[0] > 59_000);
    assert!(elapsed(&service, [extended(ApiKey::new("b"))]).await[0] < 1_100);
    assert!(elapsed(&service, [extended(ApiKey::new("b"))]).await[0] > 59_000);
    let org = || extended(ApiKey::named("org"));
    let times = elapsed(&service, [org(), org()]).await;
    assert!(times[0] == 0 && times[1] > 59_000, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn the_model_is_read_from_a_body_in_memory_or_an_extension() {
    let slow = Quota::per_minute(1).unwrap();
    let chat_slow = Limits::none().requests(Endpoint::ChatCompletions, slow);
    let limits = Limits::none().for_model("slow", chat_slow);
    let service = TogetherRateLimitLayer::new(limits).layer(service_fn(nothing));
    let of = |model: &str| {
        let body = format!(r#"{{"messages":[],"model":"{model}"}}"#);
        Request::post(CHAT)
            .body(Full::new(Bytes::from(body)))
            .unwrap()
    };
    let said = |model: &str| {
        let mut request = of("fast");
        request.extensions_mut().insert(Model::new(model));
        request
    };
    let times = elapsed(&service, [of("slow"), of("fast"), of("fast"), said("fast")]).await;
    assert_eq!(times, [0, 0, 0, 0]);
    assert!(elapsed(&service, [said("slow")]).await[0] > 59_000);
    assert!(elapsed(&service, [of("slow")]).await[0] > 59_000);
    let lanes = service.limiter().snapshot().lanes;
    assert!(
        lanes
            .iter()
            .any(|lane| lane.model.as_deref() == Some("slow"))
    );
}

/// As audio is sent: the model stands beside the file, or behind it.
#[tokio::test(start_paused = true)]
async fn the_model_is_read_from_a_form() {
    let layer = TogetherRateLimitLayer::new(Limits::none());
    let form = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n\0\r\n\
                --x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--x--\r\n";
    for (path, content_type) in [
        ("audio/transcriptions", "multipart/form-data; boundary=x"),
        ("audio/translations", "multipart/form-data; boundary=\"x\""),
        ("audio/speech", "text/plain; boundary=x"),
        ("files", "multipart/form-data; boundary=x"),
    ] {
        let request = Request::post(format!("https://api.together.ai/v1/{path}"))
            .header("content-type", content_type)
            .body(Full::<Bytes>::from(form))
            .unwrap();
        layer
            .layer(service_fn(nothing))
            .oneshot(request)
            .await
            .unwrap();
    }
    let lanes = layer.limiter().snapshot().lanes;
    let mut models: Vec<_> = lanes
        .iter()
        .map(|lane| (lane.endpoint.name(), lane.model.as_deref()))
        .collect();
    models.sort();
    let expected = [
        ("file-upload", None),
        ("speech", None),
        ("transcriptions", Some("whisper")),
        ("translations", Some("whisper")),
    ];
    assert_eq!(models, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_togethers_is_left_alone() {
    let quota = Quota::per_minute(1).unwrap();
    let limits = Limits::none().requests(Endpoint::ChatCompletions, quota);
    let layer = TogetherRateLimitLayer::new(limits)
        .with_classify(Classify::together().only_hosts(Classify::TOGETHER_HOSTS));
    let service = layer.layer(service_fn(nothing));
    let elsewhere = || {
        Request::post("http://other.example/v1/chat/completions")
            .body(())
            .unwrap()
    };
    let here = || Request::post(CHAT).body(()).unwrap();
    let times = elapsed(&service, [elsewhere(), elsewhere(), here()]).await;
    assert_eq!(times, [0, 0, 0]);
    assert!(elapsed(&service, [here()]).await[0] > 59_000);
    assert_eq!(service.limiter().snapshot().admitted, 2);
}

/// Promise: nothing of the inner service is held while waiting.
#[tokio::test(start_paused = true)]
async fn waiting_holds_no_permit_of_the_inner_service() {
    let inner = ConcurrencyLimit::new(service_fn(nothing::<Empty<Bytes>>), 1);
    let limited = per_minute(60).layer(inner.clone());
    limited.clone().oneshot(chat()).await.unwrap();
    let mut waiting = task::spawn(limited.clone().oneshot(chat()));
    assert_pending!(waiting.poll());
    // The one permit is free for others, all the while.
    assert_eq!(elapsed(&inner, [chat()]).await, [0]);
    sleep(Duration::from_millis(1_005)).await;
    assert_ready!(waiting.poll()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiting_holds_no_slot_of_a_buffer() {
    let inner = tower::buffer::Buffer::new(service_fn(nothing::<Empty<Bytes>>), 1);
    let limited = per_minute(60).layer(inner.clone());
    limited.clone().oneshot(chat()).await.unwrap();
    let mut waiting: Vec<_> = (0..3)
        .map(|_| task::spawn(limited.clone().oneshot(chat())))
        .collect();
    for one in &mut waiting {
        assert_pending!(one.poll());
    }
    assert_eq!(elapsed(&inner, [chat()]).await, [0]);
    for one in waiting {
        one.await.unwrap();
    }
}

/// A clone that answered `Pending` holds the place in the inner service's own queue: dropped, its
/// wake is lost and everyone hangs.
/// Who waits for the inner service is not late by that: those after it keep the pace.
#[tokio::test(start_paused = true)]
async fn a_busy_inner_service_makes_nobody_leave_early() {
    let (sent, mut departures) = tokio::sync::mpsc::unbounded_channel();
    let freed = Instant::now() + Duration::from_secs(10);
    let inner = service_fn(move |_: Request<Empty<Bytes>>| {
        sent.send(Instant::now()).unwrap();
        async move {
            tokio::time::sleep_until(freed).await;
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let service = per_minute(60).layer(ConcurrencyLimit::new(inner, 2));
    let calls = (0..5).map(|_| service.clone().oneshot(chat()));
    futures::future::try_join_all(calls).await.unwrap();
    drop(service);
    let mut before = departures.recv().await.unwrap();
    while let Some(at) = departures.recv().await {
        assert!(at - before >= Duration::from_secs(1), "{:?}", at - before);
        before = at;
    }
    assert!(before > freed + Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_busy_inner_service_loses_nobody() {
    let inner = service_fn(|request: Request<Empty<Bytes>>| async {
        sleep(Duration::from_millis(300)).await;
        nothing(request).await
    });
    let limited = per_minute(6_000).layer(ConcurrencyLimit::new(inner, 1));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        tasks.spawn(limited.clone().oneshot(chat()));
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(start.elapsed().as_millis(), 20 * 300);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_inner_service_is_busy_holds_nobody_back() {
    let inner = ConcurrencyLimit::new(service_fn(nothing::<Empty<Bytes>>), 1);
    let limiter = Limiter::new(
        Limits::none().requests(Endpoint::ChatCompletions, Quota::per_minute(600).unwrap()),
    );
    let busy = TogetherRateLimitLayer::from(limiter.clone()).layer(inner.clone());
    let free = TogetherRateLimitLayer::from(limiter).layer(service_fn(nothing::<Empty<Bytes>>));
    let mut holder = inner.clone();
    holder.ready().await.unwrap();
    let mut stuck = task::spawn(busy.oneshot(chat()));
    assert_pending!(stuck.poll());
    let start = Instant::now();
    elapsed(&free, (0..10).map(|_| chat())).await;
    assert!(
        start.elapsed() < Duration::from_millis(1_010),
        "{:?}",
        start.elapsed()
    );
    drop(holder);
    assert!(stuck.is_woken());
    stuck.await.unwrap();
}

/// Its turn came while the inner service was busy, and is over by the time that is ready.
#[tokio::test(start_paused = true)]
async fn a_permit_that_comes_when_it_is_not_ones_turn_is_passed_on() {
    let inner = ConcurrencyLimit::new(service_fn(nothing::<Empty<Bytes>>), 1);
    let layer = per_minute(60);
    let limited = layer.layer(inner.clone());
    let mut holder = inner.clone();
    holder.ready().await.unwrap();
    let mut first = task::spawn(limited.oneshot(chat()));
    assert_pending!(first.poll());
    elapsed(&layer.layer(service_fn(nothing)), [chat()]).await;
    drop(holder);
    assert!(first.is_woken());
    assert_pending!(first.poll());
    assert_eq!(elapsed(&inner, [chat()]).await, [0]);
    first.await.unwrap();
}

/// Promise: an open stream of server-sent events counts as under way.
#[tokio::test(start_paused = true)]
async fn a_slot_is_held_until_the_body_ends() {
    let limits = Limits::none().in_flight(Endpoint::ChatCompletions, NonZeroU32::MIN);
    let service = TogetherRateLimitLayer::new(limits).layer(service_fn(|_| async {
        let frames = [Frame::data(Bytes::from("a")), Frame::data(Bytes::from("b"))];
        let frames = futures::stream::iter(frames.map(Ok::<_, Infallible>));
        Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
    }));
    let mut first = service.clone().oneshot(chat()).await.unwrap().into_body();
    let mut second = task::spawn(service.clone().oneshot(chat()));
    assert_pending!(second.poll());
    for expected in ["a", "b"] {
        let frame = first.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), expected);
        assert!(!second.is_woken());
    }
    assert!(first.frame().await.is_none());
    assert!(second.is_woken());
    // Read to its end it holds nothing, though it is not dropped yet.
    let answer = assert_ready!(second.poll()).unwrap();
    let mut third = task::spawn(service.clone().oneshot(chat()));
    assert_pending!(third.poll());
    drop(answer);
    assert!(third.is_woken());
    // Dropped after its call, before the answer is looked at.
    drop(third);
    service.clone().oneshot(chat()).await.unwrap();
    drop(first);
}

/// Who knows by `is_end_stream` that a frame was the last does not poll again: hyper does so.
#[tokio::test(start_paused = true)]
async fn a_slot_comes_back_with_the_last_frame() {
    let limits = Limits::none().in_flight(Endpoint::ChatCompletions, NonZeroU32::MIN);
    let layer = TogetherRateLimitLayer::new(limits);
    let service = layer.layer(service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("whole")))
    }));
    let mut body = service.oneshot(chat()).await.unwrap().into_body();
    let free = || layer.limiter().snapshot().lanes[0].limits[0].left;
    assert_eq!(free(), 0);
    body.frame().await.unwrap().unwrap();
    assert_eq!(free(), 1);
}

/// A stream that its server had forgotten held its slot for ever.
#[tokio::test(start_paused = true)]
async fn a_silent_response_gives_its_slot_back_and_goes_on() {
    const MINUTES: Duration = Duration::from_secs(60);
    let tokens = Quota::per_minute(1_000_000).unwrap();
    for limits in [
        Limits::none(),
        // Its body is watched for its usage then.
        Limits::none().tokens(Endpoint::ChatCompletions, tokens),
    ] {
        let limits = limits.in_flight(Endpoint::ChatCompletions, NonZeroU32::MIN);
        let layer = TogetherRateLimitLayer::new(limits);
        let service = layer.layer(service_fn(|_: Request<Empty<Bytes>>| async {
            let pieces = [9, 9, 25].map(|minutes| (minutes * MINUTES, Bytes::from("data: {}\n\n")));
            let pieces = futures::stream::iter(pieces).then(async |(after, piece)| {
                sleep(after).await;
                Ok::<_, Infallible>(Frame::data(piece))
            });
            Ok::<_, Infallible>(Response::new(StreamBody::new(Box::pin(pieces))))
        }));
        let start = Instant::now();
        let mut first = service.clone().oneshot(chat()).await.unwrap().into_body();
        let next = tokio::spawn(service.clone().oneshot(chat()));
        for at in [9, 18, 43] {
            first.frame().await.unwrap().unwrap();
            assert_eq!(start.elapsed().as_secs(), at * 60);
            // It has left ten minutes after the second piece.
            assert_eq!(next.is_finished(), at == 43);
        }
        // Its slot is its own: the end of the first gives back no more.
        let second = next.await.unwrap().unwrap();
        let free = || {
            let limits = layer.limiter().snapshot().lanes.remove(0).limits;
            limits.iter().map(|limit| limit.left).min().unwrap()
        };
        assert!(first.frame().await.is_none());
        drop(first);
        assert_eq!(free(), 0);
        drop(second);
        assert_eq!(free(), 1);
    }
}

/// Nobody reads it, so nobody knows whether its server is silent.
#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_read_or_has_no_bound_keeps_its_slot() {
    let limits = || Limits::none().in_flight(Endpoint::ChatCompletions, NonZeroU32::MIN);
    let unbounded = Limiter::new(limits()).with_max_silence(Duration::MAX);
    for (limiter, reads) in [(Limiter::new(limits()), false), (unbounded, true)] {
        let service = TogetherRateLimitLayer::from(limiter).layer(service_fn(
            |_: Request<Empty<Bytes>>| async {
                let silent = futures::stream::pending::<Result<Frame<Bytes>, Infallible>>();
                Ok::<_, Infallible>(Response::new(StreamBody::new(silent)))
            },
        ));
        let first = service.clone().oneshot(chat()).await.unwrap();
        let first = tokio::spawn(async move {
            match reads {
                true => drop(first.into_body().frame().await),
                false => std::future::pending().await,
            }
        });
        let second = tokio::spawn(service.clone().oneshot(chat()));
        sleep(Duration::from_secs(24 * 3_600)).await;
        assert!(!second.is_finished());
        first.abort();
        second.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_given_back_when_the_call_fails_or_is_dropped() {
    let limits = Limits::none().in_flight(Endpoint::ChatCompletions, NonZeroU32::MIN);
    let layer = TogetherRateLimitLayer::new(limits);
    let failing = layer.layer(service_fn(|_: Request<Empty<Bytes>>| async {
        Err::<Response<Empty<Bytes>>, _>("reset")
    }));
    for _ in 0..3 {
        assert_eq!(failing.clone().oneshot(chat()).await.unwrap_err(), "reset");
    }
    let hanging = layer.layer(service_fn(|_: Request<Empty<Bytes>>| {
        std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>()
    }));
    for _ in 0..3 {
        let mut call = task::spawn(hanging.clone().oneshot(chat()));
        assert_pending!(call.poll());
        assert_eq!(layer.limiter().snapshot().lanes[0].limits[0].left, 0);
        drop(call);
        assert_eq!(layer.limiter().snapshot().lanes[0].limits[0].left, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_429s_are_counted_and_passed_on() {
    let service = per_minute(600).layer(service_fn(|_: Request<Empty<Bytes>>| async {
        let answer = Response::builder().status(429).body(Empty::<Bytes>::new());
        Ok::<_, Infallible>(answer.unwrap())
    }));
    let answer = service.clone().oneshot(chat()).await.unwrap();
    assert_eq!(answer.status(), 429);
    assert!(answer.extensions().get::<Rejected>().is_none());
    assert_eq!(service.limiter().snapshot().throttled, 1);
}

#[tokio::test(start_paused = true)]
async fn a_retried_request_goes_first() {
    let service = per_minute(60).layer(service_fn(nothing));
    service.clone().oneshot(chat()).await.unwrap();
    let mut first = task::spawn(service.clone().oneshot(chat()));
    let mut retried = chat();
    retried.extensions_mut().insert(Attempt::new(2));
    let mut retried = task::spawn(service.clone().oneshot(retried));
    assert_pending!(first.poll());
    assert_pending!(retried.poll());
    sleep(Duration::from_millis(1_005)).await;
    assert!(retried.is_woken() && !first.is_woken());
    assert_ready!(retried.poll()).unwrap();
}

/// Callers take turns, whether or not their first attempts carry an `Attempt`.
#[tokio::test(start_paused = true)]
async fn first_attempts_take_turns_and_a_retry_goes_before_them() {
    let (sent, mut left) = tokio::sync::mpsc::unbounded_channel();
    let service = per_minute(600).layer(service_fn(move |request: Request<Empty<Bytes>>| {
        sent.send(request.uri().query().unwrap().to_owned())
            .unwrap();
        nothing(request)
    }));
    let send = |name: &str, caller: &str, attempt: Option<u32>| {
        let mut request = chat();
        *request.uri_mut() = format!("{CHAT}?{name}").parse().unwrap();
        request.extensions_mut().insert(Caller::new(caller));
        if let Some(attempt) = attempt {
            request.extensions_mut().insert(Attempt::new(attempt));
        }
        service.clone().oneshot(request)
    };
    let calls = [
        send("now", "many", None),
        send("many-1", "many", Some(1)),
        send("many-2", "many", Some(1)),
        send("many-3", "many", None),
        send("few-1", "few", Some(1)),
        send("few-2", "few", None),
        send("retry", "many", Some(2)),
    ];
    futures::future::try_join_all(calls).await.unwrap();
    let order: Vec<_> = std::iter::from_fn(|| left.try_recv().ok()).collect();
    let expected = [
        "now", "retry", "many-1", "few-1", "many-2", "few-2", "many-3",
    ];
    assert_eq!(order, expected);
}

/// A service that is neither `Send` nor `'static`, with an error of no trait at all.
#[tokio::test(start_paused = true)]
async fn nothing_is_asked_of_the_inner_services_types() {
    struct NoTraits;
    let count = std::cell::Cell::new(0);
    let count = &count;
    let inner = service_fn(move |request: Request<Opaque<Empty<Bytes>>>| async move {
        count.set(count.get() + 1);
        drop(request);
        Ok::<_, NoTraits>(Response::new(Empty::<Bytes>::new()))
    });
    let service = per_minute(60).layer(inner);
    let answer = service.oneshot(chat().map(Opaque::new)).await;
    assert!(answer.is_ok());
    assert_eq!(count.get(), 1);
}

/// A WebSocket's slot was free while the socket was open.
#[tokio::test(start_paused = true)]
async fn the_slot_of_a_websocket_can_be_kept_as_long_as_the_socket() {
    let limits = Limits::none().in_flight(Endpoint::SpeechRealtime, NonZeroU32::MIN);
    let layer = TogetherLayer::new(limits);
    let service = layer.layer(service_fn(async |_: Request<Empty<Bytes>>| {
        let mut answer = Response::new(Empty::<Bytes>::new());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        Ok::<_, Infallible>(answer)
    }));
    let open = || {
        let request = Request::get("/v1/audio/speech/websocket").body(Empty::new());
        service.clone().oneshot(request.unwrap())
    };
    let mut first = open().await.unwrap();
    let slot = first.extensions_mut().remove::<Slot>();
    assert!(slot.is_some());
    drop(first);
    let mut second = task::spawn(open());
    assert_pending!(second.poll());
    drop(slot);
    // It is given back with the response, if nobody keeps it.
    let second = assert_ready!(second.poll()).unwrap();
    let mut third = task::spawn(open());
    assert_pending!(third.poll());
    drop(second);
    assert_ready!(third.poll()).unwrap();
}

#[test]
fn keys_stay_in() {
    let secret = "sk-very-secret-0123456789";
    let limiter = Limiter::default();
    let layer = TogetherRateLimitLayer::from(limiter.clone()).with_tokenizer(|_, _| 1);
    let key = ApiKey::new(secret);
    let call = tower_together::limiter::Call::new(Endpoint::ChatCompletions).with_key(key.clone());
    let permit = limiter.try_acquire(&call).unwrap();
    let rejected = limiter.try_acquire(&call).unwrap_err();
    let mut service = layer.layer(service_fn(nothing::<()>));
    let mut request = Request::post(CHAT).body(()).unwrap();
    let value = format!("Bearer {secret}").parse().unwrap();
    request.headers_mut().insert("authorization", value);
    let future = service.call(request);
    let caller = Caller::new(secret);
    let all = format!(
        "{limiter:?}{layer:?}{key:?}{call:?}{permit:?}{rejected:?}{rejected}{service:?}{caller:?}{future:?}{:?}",
        limiter.snapshot(),
    );
    assert!(!all.contains("secret"), "{all}");
    for shown in ["key-", "Tokenizer(..)", "ResponseFuture { .. }"] {
        assert!(all.contains(shown), "{all}");
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_stand_in_line_are_counted_and_no_longer() {
    let service = per_minute(60).layer(service_fn(nothing));
    let in_line = InLine::new();
    let send = || {
        let mut request = chat();
        request.extensions_mut().insert(in_line.clone());
        service.clone().oneshot(request)
    };
    send().await.unwrap();
    let (mut first, mut second) = (task::spawn(send()), task::spawn(send()));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_eq!(in_line.count(), 2);
    assert_pending!(second.poll());
    drop(second);
    assert_eq!(in_line.count(), 1);
    sleep(Duration::from_secs(2)).await;
    assert_ready!(first.poll()).unwrap();
    assert_eq!(in_line.count(), 0);
}
