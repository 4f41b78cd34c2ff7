//! The retry layer's rules as a policy of `tower::retry`.

use http::Response;
use testing::script::{Reply, Script, status};
use tower::{BoxError, Service, ServiceExt};
use tower_together::{
    Classify, Limits, TogetherRateLimitLayer,
    extension::{Retries, RetryReport},
};

use crate::{CHAT, FINE_TUNES, exact, post, with};

/// The same rules for users of tower's own retry.
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

    // Without a limiter, and for a request that must be sent once.
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

/// `tower::retry` uses the service's own policy to clone a request. The state of the previous request was taken for the
/// next one's, and a fine-tune was sent five times after a chat.
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
