//! Both layers over one limiter, in virtual time: pauses, deadlines, and bodies of failed responses.
#![allow(clippy::disallowed_methods, reason = "in virtual time, but for dates")]

mod bodies;
mod deadlines;
mod grpc;
mod jobs;
mod pauses;
mod remaining;

use std::{convert::Infallible, fmt::Debug, num::NonZeroU32, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{Full, StreamBody};
use testing::{
    exact,
    script::{Reply, Script, status},
};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{
    ApiError, Classify, Endpoint, Limiter, Limits, Quota, Rejected, TogetherLayer,
    TogetherRateLimitLayer,
    body::ReplayBuffer,
    extension::{Attempt, Deadline},
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

fn both(limits: Limits) -> TogetherLayer {
    TogetherLayer::new(limits).with_retry(exact())
}

/// Responds to the first attempt with a status, and with a slow body.
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

#[tokio::test(start_paused = true)]
async fn a_rejection_of_our_own_is_never_retried() {
    let limits = per_minute(1);
    let script = Script::new([]);
    let limiter = Limiter::new(limits).with_max_wait(Duration::ZERO);
    let service = TogetherLayer::from(limiter)
        .with_retry(exact())
        .layer(script.client());
    service.clone().oneshot(post(CHAT)).await.unwrap();
    let start = Instant::now();
    let response = service.oneshot(post(CHAT)).await.unwrap();
    assert_eq!(response.status(), 429);
    assert!(response.extensions().get::<Rejected>().is_some());
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(script.sent().len(), 1);
}

/// Promise: a waiting request holds nothing of the inner service, and no in-flight slot of the limiter.
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

/// The hint in the error that a stack returns for a request whose body cannot be sent twice.
async fn hint<S, R>(stack: S, path: &str) -> &'static str
where
    S: Service<Request<String>, Response = Response<R>, Error: Debug>,
{
    let request = post(path).map(|_| "{}".to_owned());
    let response = stack.oneshot(request).await.unwrap();
    let error = response.extensions().get::<ApiError>().unwrap();
    error.hint().unwrap()
}

/// The rate limit layer recommended a `TogetherRateLimitLayer`.
#[tokio::test(start_paused = true)]
async fn a_hint_recommends_no_layer_and_no_limit_that_is_there() {
    let late = |status| dawdling(status, ("x-any", "any".to_owned()), 150);
    let alone = exact().with_replay_buffer(ReplayBuffer::new(0, 0));
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

/// A wait is reported to both layers at once, in whatever order. Otherwise one layer would act on a response that the
/// other leaves alone.
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

/// The layers' bounds accept a service that is not `Send` or borrows, and a future is as `Send` as its inner service.
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
    let response = both(Limits::none())
        .layer(borrowing)
        .oneshot(post(CHAT))
        .await;
    assert_eq!(response.unwrap().status(), 200);
    assert_eq!(sent.get(), 2);

    fn assert_send<T: Send>(_: &T) {}
    let script = Script::new([]);
    let service = both(Limits::none()).layer(script.client());
    assert_send(&service);
    let call = service.oneshot(post(CHAT));
    assert_send(&call);
    assert_send(&call.await);
}
