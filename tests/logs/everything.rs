//! Makes each event happen.

use std::{
    io::{Error, ErrorKind},
    time::Duration,
};

use futures::future::join_all;
use http::Request;
use testing::{
    exact,
    script::{Client, Reply, Script, status},
};
use tokio::time::timeout;
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneService};
use tower_together::{
    Classify, Endpoint, Limiter, Limits, Quota, TogetherFallbackLayer, TogetherLayer,
    TogetherRateLimitLayer, TogetherRetryLayer,
    body::ReplayBuffer,
    extension::{ApiKey, Deadline, Model},
    jobs::JobsApi,
    retry::{Budget, Decision},
};

use crate::{
    CHAT, FINE_TUNES, post,
    redis::{self, loading, no_permission, one_instant},
    send, test, with,
};

pub(crate) async fn everything() {
    failures().await;
    hints().await;
    creates().await;
    fallback().await;
    lanes().await;
    jobs().await;
    mistakes().await;
    shared().await;
}

fn script(replies: impl IntoIterator<Item = Reply>) -> Client {
    Script::new(replies).client()
}

fn error(kind: ErrorKind, text: &'static str) -> Client {
    BoxCloneService::new(service_fn(move |_| async move {
        Err(BoxError::from(Error::new(kind, text)))
    }))
}

async fn failures() {
    send(&exact(), script([status(400)]), post(CHAT)).await;
    let untrusted = error(ErrorKind::ConnectionRefused, "invalid peer certificate");
    send(&exact(), untrusted, post(CHAT)).await;
    let slow = error(ErrorKind::TimedOut, "too slow");
    send(&exact(), slow, post(CHAT)).await;
    let outage = vec![status(503); 10];
    send(&exact(), script(outage.clone()), post(CHAT)).await;
    let thrifty = exact().with_budget(Budget::new(0.0, 0));
    send(&thrifty, script(outage.clone()), post(CHAT)).await;
    let hooked = exact().with_hook(|_| Decision::Reject);
    send(&hooked, script(outage.clone()), post(CHAT)).await;
    let forgetful = exact().with_replay_buffer(ReplayBuffer::new(0, 0));
    let service = forgetful.layer(service_fn(async |_: Request<String>| {
        let response = http::Response::builder().status(503);
        Ok::<_, BoxError>(response.body(String::new())?)
    }));
    let request = post(CHAT).map(|_| String::from(r#"{"model":"m"}"#));
    drop(service.oneshot(request).await);
}

async fn hints() {
    let later = |seconds| script([status(429).header("retry-after", seconds)]);
    send(&exact(), later(3_600), post(CHAT)).await;
    let hurried = || with(CHAT, Deadline::within(Duration::from_secs(1)));
    send(&exact(), later(5), hurried()).await;
    // The client is not ready before the deadline.
    let never = ServiceBuilder::new()
        .concurrency_limit(0)
        .service(script([]));
    drop(exact().layer(never).oneshot(hurried()).await);
}

async fn creates() {
    send(&exact(), script([status(500)]), post(FINE_TUNES)).await;
    let moved = exact().with_redirects(true);
    send(&moved, script([status(429)]), post(FINE_TUNES)).await;
    let many = status(400).body(r#"{"error":{"message":"Too many concurrent fine-tune jobs"}}"#);
    send(&exact(), script(vec![many; 10]), post(FINE_TUNES)).await;
}

async fn fallback() {
    let layers = ServiceBuilder::new()
        .layer(TogetherFallbackLayer::new().with_chain("m", ["other"]))
        .layer(exact())
        .into_inner();
    send(&layers, script(vec![status(503); 2]), post(CHAT)).await;
}

async fn lanes() {
    let quota = Quota::per_minute(60).unwrap();
    let limits = Limits::none().requests(Endpoint::ChatCompletions, quota);
    let limiter = Limiter::new(limits.clone()).with_max_wait(Duration::from_secs(2));
    let layer = TogetherRateLimitLayer::from(limiter);
    join_all((0..9).map(|_| send(&layer, script([]), post(CHAT)))).await;
    let layer = TogetherLayer::new(Limits::none()).with_retry(exact());
    let later = status(429).header("retry-after", 5);
    let named = status(200).header("x-ratelimit-limit", 7);
    send(&layer, script([later, named]), post(CHAT)).await;
}

async fn jobs() {
    let create = || with(FINE_TUNES, Model::new("m"));
    let limiter = Limiter::default();
    let layer = TogetherRateLimitLayer::from(limiter.clone());
    let created = |id: usize| status(200).body(format!(r#"{{"id":"ft-{id}","status":"running"}}"#));
    let client = layer.layer(script((0..3).map(created)));
    for _ in 0..3 {
        drop(client.clone().oneshot(create()).await);
    }
    let broken = layer.layer(script(vec![status(500); 10]));
    let api = JobsApi::new(broken).with_base("https://api.together.ai/v1/");
    let api = api.unwrap().with_key("my-secret-key").unwrap();
    let waiting = client.clone().oneshot(create());
    let watched = async { tokio::join!(limiter.watch_jobs(api), waiting) };
    assert!(timeout(Duration::from_secs(600), watched).await.is_err());
    let many = status(400).body(r#"{"error":{"message":"Too many concurrent fine-tune jobs"}}"#);
    send(&TogetherRateLimitLayer::default(), script([many]), create()).await;
}

async fn shared() {
    redis::shared(Duration::ZERO, [loading, one_instant, no_permission]).await;
}

async fn mistakes() {
    let named = || with(CHAT, ApiKey::named(&test()));
    let layers = [(); 2].map(|()| TogetherRateLimitLayer::default());
    send(&layers[0], script([]), named()).await;
    send(&layers[1], script([]), named()).await;
    let mut keyless = post(CHAT);
    keyless.headers_mut().clear();
    send(&layers[1], script([]), keyless).await;
    let beneath = ServiceBuilder::new()
        .layer(TogetherRateLimitLayer::default())
        .layer(TogetherRetryLayer::default())
        .into_inner();
    send(&beneath, script([]), post(CHAT)).await;
    let app = axum::Router::new().layer(TogetherRetryLayer::default());
    let received = Request::post("/v1/chat/completions").body(axum::body::Body::empty());
    app.oneshot(received.unwrap()).await.unwrap();
    let together = Classify::together().only_hosts(["elsewhere"]);
    let alone = TogetherRateLimitLayer::default().with_classify(together);
    let speech = TogetherRateLimitLayer::default();
    for _ in 0..100 {
        send(&alone, script([]), post(CHAT)).await;
        send(&speech, script([]), post("audio/speech")).await;
    }
}
