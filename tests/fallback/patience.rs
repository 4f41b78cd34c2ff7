//! The patience of each model, and the bounds of the whole request.

use std::time::Duration;

use PassedOver::{LongWait, NeverFits, Overloaded};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, TogetherFallbackLayer, TogetherLayer, TogetherRateLimitLayer,
    extension::{Cost, Deadline, PassedOver, Retries, RetryReport, Waited},
};

use crate::api::{Api, status};
use crate::{chain, chat, instead, one_a_minute, seconds, send, served, stack, with};

#[tokio::test(start_paused = true)]
async fn after_so_many_503s_the_next_model_responds() {
    for (most, models) in [
        (1, "a b"),
        (2, "a a b"),
        (4, "a a a a b"),
        (9, "a a a a a b"),
    ] {
        let api = Api::new([("a", vec![status(503); 9])]);
        let response = send(&chain().with_max_503s(most), chat(), &api).await;
        assert_eq!(response.status(), 200);
        assert_eq!(api.models(), models);
        assert_eq!(served(&response), instead("b", &[("a", Overloaded)]));
    }
    // The default is two.
    let api = Api::new([("a", vec![status(503); 9]), ("b", vec![status(503); 9])]);
    let response = send(&chain(), chat(), &api).await;
    assert_eq!(api.models(), "a a b b c");
    assert_eq!(
        served(&response),
        instead("c", &[("a", Overloaded), ("b", Overloaded)])
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_model_has_all_the_patience_there_is() {
    let trouble = || vec![status(503); 9];
    let api = Api::new([("a", trouble()), ("b", trouble()), ("c", trouble())]);
    let response = send(&chain().with_max_503s(1), chat(), &api).await;
    assert_eq!(response.status(), 503);
    assert_eq!(api.models(), "a b c c c c c");
    assert_eq!(
        served(&response),
        instead("c", &[("a", Overloaded), ("b", Overloaded)])
    );
    assert_eq!(
        response
            .extensions()
            .get::<RetryReport>()
            .unwrap()
            .attempts(),
        5
    );

    // It also waits for its turn.
    let layer = TogetherFallbackLayer::new()
        .with_chain("a", ["b"])
        .with_max_wait(seconds(2));
    let limits = one_a_minute("b");
    let api = Api::new([("a", vec![status(503).retry_after("100")])]);
    let stack = stack(&layer, limits, &api);
    for waited in [0, 60] {
        let response = stack.clone().oneshot(chat()).await.unwrap();
        assert_eq!(served(&response), instead("b", &[("a", LongWait)]));
        let found = response.extensions().get::<Waited>();
        assert_eq!(found.map_or(0, |found| found.duration().as_secs()), waited);
    }
    assert_eq!(api.models(), "a b b");
}

#[tokio::test(start_paused = true)]
async fn a_predicted_wait_that_is_too_long_is_not_waited() {
    let start = Instant::now();
    let api = Api::new([]);
    let stack = stack(&chain().with_max_wait(seconds(2)), one_a_minute("a"), &api);
    let first = stack.clone().oneshot(chat()).await.unwrap();
    assert_eq!(served(&first), None);
    let second = stack.clone().oneshot(chat()).await.unwrap();
    assert_eq!(served(&second), instead("b", &[("a", LongWait)]));
    assert_eq!(start.elapsed(), Duration::ZERO);
    // A short enough wait is accepted.
    sleep(seconds(59)).await;
    let third = stack.oneshot(chat()).await.unwrap();
    assert_eq!(served(&third), None);
    assert!(start.elapsed() >= seconds(60));
    assert_eq!(api.models(), "a b a");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_fits_one_model_s_quota_goes_to_the_next() {
    let tokens = |model, max| {
        let quota = Quota::per_minute(max).unwrap();
        let own = Limits::none().tokens(Endpoint::ChatCompletions, quota);
        Limits::none().for_model(model, own)
    };
    let dear = || {
        let mut request = chat();
        request.extensions_mut().insert(Cost::of_tokens(500));
        request
    };
    let api = Api::new([]);
    let response = stack(&chain(), tokens("a", 100), &api).oneshot(dear());
    let response = response.await.unwrap();
    assert_eq!(served(&response), instead("b", &[("a", NeverFits)]));
    assert_eq!(api.models(), "b");
    // If no model can serve it in time, the caller gets the last rejection.
    let quota = Quota::per_minute(100).unwrap();
    let all = Limits::none().tokens(Endpoint::ChatCompletions, quota);
    let response = stack(&chain(), all, &api).oneshot(dear()).await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(api.models(), "b");
}

#[tokio::test(start_paused = true)]
async fn the_shortest_of_all_bounds_counts() {
    let five = || chain().with_max_wait(seconds(5));
    for (layer, longest, deadline, falls_back) in [
        (chain(), None, None, false),
        (chain(), Some(3), None, true),
        (chain(), None, Some(3), true),
        (five(), None, Some(100), true),
        (five(), Some(100), None, true),
        (chain().with_max_wait(seconds(100)), None, Some(3), true),
        (
            chain().with_max_wait(seconds(100)),
            Some(100),
            Some(100),
            false,
        ),
    ] {
        let api = Api::new([]);
        let mut limiter = Limiter::new(one_a_minute("a"));
        if let Some(most) = longest {
            limiter = limiter.with_max_wait(seconds(most));
        }
        let stack = layer.layer(TogetherLayer::from(limiter).layer(api.client()));
        stack.clone().oneshot(chat()).await.unwrap();
        let mut request = chat();
        if let Some(deadline) = deadline {
            let deadline = Deadline::within(seconds(deadline));
            request.extensions_mut().insert(deadline);
        }
        let response = stack.oneshot(request).await.unwrap();
        let expected = falls_back.then(|| instead("b", &[("a", LongWait)]));
        assert_eq!(served(&response), expected.flatten());
    }
}

/// One request discovers a pause, and later ones do not call that model.
#[tokio::test(start_paused = true)]
async fn a_paused_model_is_passed_over() {
    for code in [429, 503] {
        let api = Api::new([("a", vec![status(code).retry_after("20")])]);
        let stack = stack(&chain().with_max_wait(seconds(5)), Limits::none(), &api);
        for _ in 0..2 {
            let response = stack.clone().oneshot(chat()).await.unwrap();
            assert_eq!(served(&response), instead("b", &[("a", LongWait)]));
        }
        assert_eq!(api.models(), "a b b");
        sleep(seconds(16)).await;
        let response = stack.oneshot(chat()).await.unwrap();
        assert_eq!(served(&response), None);
        assert_eq!(api.sent()[3].at.as_secs(), 20);
    }
}

/// Without a retry layer that would wait, the server's stated wait is the prediction.
#[tokio::test(start_paused = true)]
async fn over_the_rate_limit_layer_alone() {
    for (wait, models) in [("3", "a"), ("20", "a b")] {
        let api = Api::new([("a", vec![status(429).retry_after(wait)])]);
        let stack = TogetherRateLimitLayer::new(Limits::none()).layer(api.client());
        let layer = chain().with_max_wait(seconds(5));
        layer.layer(stack.clone()).oneshot(chat()).await.unwrap();
        assert_eq!(api.models(), models);
    }
    let api = Api::new([("a", vec![status(429).retry_after("20")])]);
    let stack = TogetherRateLimitLayer::new(Limits::none()).layer(api.client());
    let hurried = with(Deadline::within(seconds(10)));
    chain().layer(stack).oneshot(hurried).await.unwrap();
    assert_eq!(api.models(), "a b");
    // And over the bare client a 503.
    let api = Api::new([("a", vec![status(503)])]);
    chain().layer(api.client()).oneshot(chat()).await.unwrap();
    assert_eq!(api.models(), "a b");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_that_of_the_whole() {
    // A's turn does not come in time, and B's does.
    let api = Api::new([]);
    let all = stack(&chain(), one_a_minute("a"), &api);
    all.clone().oneshot(chat()).await.unwrap();
    let hurried = || with(Deadline::within(seconds(5)));
    let response = all.oneshot(hurried()).await.unwrap();
    assert_eq!(served(&response), instead("b", &[("a", LongWait)]));

    // B has only the time that A left.
    let once = chain().with_max_503s(1);
    for (takes, waits, ok) in [(3, 1, true), (3, 3, false), (6, 0, false)] {
        let api = Api::new([
            ("a", vec![status(503).takes(takes)]),
            (
                "b",
                vec![status(503).retry_after(["0", "1", "", "3"][waits])],
            ),
        ]);
        let two = TogetherFallbackLayer::new()
            .with_chain("a", ["b"])
            .with_max_503s(1);
        let response = stack(&two, Limits::none(), &api);
        let response = response.oneshot(hurried()).await.unwrap();
        assert_eq!(response.status() == 200, ok, "{takes} {waits}");
        let asked = if takes > 5 {
            "a"
        } else if ok {
            "a b b"
        } else {
            "a b"
        };
        assert_eq!(api.models(), asked);
    }
    // A header says it too.
    let api = Api::new([("a", vec![status(503).takes(6)])]);
    let mut request = chat();
    let headers = request.headers_mut();
    headers.insert("x-stainless-timeout", "5".parse().unwrap());
    assert_eq!(send(&once, request, &api).await.status(), 503);
    assert_eq!(api.models(), "a");
}

#[tokio::test(start_paused = true)]
async fn the_request_s_own_retries_are_those_of_the_whole() {
    let trouble = || vec![status(503); 9];
    for (retries, models) in [
        (Retries::off(), "a"),
        (Retries::at_most(1), "a a"),
        (Retries::at_most(2), "a a b"),
        (Retries::at_most(3), "a a b b"),
        (Retries::at_most(6), "a a b b c c c"),
    ] {
        let api = Api::new([("a", trouble()), ("b", trouble()), ("c", trouble())]);
        let response = send(&chain(), with(retries), &api).await;
        assert_eq!(response.status(), 503);
        assert_eq!(api.models(), models);
    }
    // A request that never left was not sent.
    let api = Api::new([]);
    let stack = stack(&chain(), one_a_minute("a"), &api);
    stack.clone().oneshot(chat()).await.unwrap();
    let mut once = with(Retries::off());
    once.extensions_mut().insert(Deadline::within(seconds(1)));
    let response = stack.oneshot(once).await.unwrap();
    assert_eq!(served(&response), instead("b", &[("a", LongWait)]));
}
