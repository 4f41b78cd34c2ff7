//! The rate limit layer over mocked and hostile inner services, in virtual time.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod calls;
mod inner;
mod outage;
mod slots;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, Rejected, TogetherRateLimitLayer,
    extension::{ApiKey, Attempt, Caller, Deadline, QueueGauge, Waited},
    limiter::Reason,
};

const CHAT: &str = "https://api.together.ai/v1/chat/completions";

fn per_minute(max: u64) -> TogetherRateLimitLayer {
    let quota = Quota::per_minute(max).unwrap();
    TogetherRateLimitLayer::new(Limits::none().requests(Endpoint::ChatCompletions, quota))
}

fn chat() -> Request<Empty<Bytes>> {
    Request::post(CHAT).body(Empty::new()).unwrap()
}

/// Responds at once, with an empty response.
async fn nothing<B>(_: Request<B>) -> Result<Response<Empty<Bytes>>, Infallible> {
    Ok(Response::new(Empty::new()))
}

/// The time until each response, one request after the other.
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
    let response = assert_ready!(first.poll()).unwrap();
    assert!(response.extensions().get::<Waited>().is_none());

    sleep(Duration::from_millis(1_005)).await;
    assert!(second.is_woken());
    assert_pending!(second.poll());
    let (_, reply) = server.next_request().await.unwrap();
    reply.send_response(Response::new(Empty::new()));
    let response = assert_ready!(second.poll()).unwrap();
    let waited = response.extensions().get::<Waited>().unwrap().duration();
    assert!((950..=1_006).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_a_response_and_the_request_never_leaves() {
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
    let response = service.clone().oneshot(late).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "2");
    let rejected = response.extensions().get::<Rejected>().unwrap();
    assert_eq!(rejected.reason(), Reason::Deadline);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["code"], "deadline");

    let mut told = chat();
    told.headers_mut()
        .insert("x-stainless-timeout", "0.5".parse().unwrap());
    let response = service.clone().oneshot(told).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
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
        let rejection = hurried().await.unwrap();
        let expected = match grpc {
            true => (StatusCode::OK, true),
            false => (StatusCode::TOO_MANY_REQUESTS, false),
        };
        let told = rejection.headers().contains_key("grpc-status");
        assert_eq!((rejection.status(), told), expected, "{content_type}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_429s_are_counted_and_passed_on() {
    let service = per_minute(600).layer(service_fn(|_: Request<Empty<Bytes>>| async {
        let response = Response::builder().status(429).body(Empty::<Bytes>::new());
        Ok::<_, Infallible>(response.unwrap())
    }));
    let response = service.clone().oneshot(chat()).await.unwrap();
    assert_eq!(response.status(), 429);
    assert!(response.extensions().get::<Rejected>().is_none());
    assert_eq!(service.limiter().snapshot().throttled_count, 1);
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
async fn queued_requests_are_counted_and_no_longer() {
    let service = per_minute(60).layer(service_fn(nothing));
    let queued = QueueGauge::new();
    let send = || {
        let mut request = chat();
        request.extensions_mut().insert(queued.clone());
        service.clone().oneshot(request)
    };
    send().await.unwrap();
    let (mut first, mut second) = (task::spawn(send()), task::spawn(send()));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_eq!(queued.count(), 2);
    assert_pending!(second.poll());
    drop(second);
    assert_eq!(queued.count(), 1);
    sleep(Duration::from_secs(2)).await;
    assert_ready!(first.poll()).unwrap();
    assert_eq!(queued.count(), 0);
}
