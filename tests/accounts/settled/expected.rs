//! Tokens that are charged before the response states its usage.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{
    Endpoint, Limits, Quota, Rejected, TogetherRateLimitLayer,
    extension::{Cost, Model},
    limiter::Reason,
};

use super::{EMBEDDINGS, JSON, LITTLE, QUOTA, charged, chat, dear, layer, limits, response};

/// The charge of each request, one after the other, over a service that reports these lengths as usage.
pub(super) async fn each_charged(
    layer: &TogetherRateLimitLayer,
    requests: Vec<(Request<Full<Bytes>>, u64)>,
) -> Vec<u64> {
    let mut charges = Vec::new();
    for (request, output) in requests {
        let before = charged(layer.limiter());
        let limiter = layer.limiter().clone();
        let charge = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&charge);
        let service = layer.layer(service_fn(move |_: Request<Full<Bytes>>| {
            seen.store((charged(&limiter) - before) as u32, Ordering::Relaxed);
            let body = json!({"usage": {"prompt_tokens": 12, "completion_tokens": output}});
            let response = response(200, &[JSON], &body.to_string());
            async { Ok::<_, Infallible>(response) }
        }));
        service
            .oneshot(request)
            .await
            .unwrap()
            .into_body()
            .collect()
            .await
            .unwrap();
        charges.push(charge.load(Ordering::Relaxed).into());
    }
    charges
}

#[tokio::test(start_paused = true)]
async fn a_response_is_expected_to_be_as_long_as_those_before_it() {
    let layer = layer(limits());
    let requests = vec![
        (chat(json!({})), 100),
        (chat(json!({})), 200),
        (chat(json!({"max_tokens": 50})), 50),
        (chat(json!({"n": 3})), 350),
        (chat(json!({"max_completion_tokens": 1_000})), 1),
    ];
    let charges = each_charged(&layer, requests).await;
    // 256 before anything is known; then the mean of 100, of 100 and 200, and of 100, 200 and 50.
    let expected = [12 + 256, 12 + 100, 12 + 50, 12 + 3 * 117, 12 + 117];
    assert_eq!(charges, expected.map(dear));
    // Each model has a lane: the responses of one model do not affect another's estimate.
    let mut other = chat(json!({}));
    other.extensions_mut().insert(Model::new("other"));
    let first = chat(json!({"model": "new", "max_tokens": 1_000}));
    let charges = each_charged(&layer, vec![(other, 5), (first, 5)]).await;
    assert_eq!(charges, [268, 1_012].map(dear));
}

#[tokio::test(start_paused = true)]
async fn max_tokens_are_reserved_where_that_is_asked_for() {
    let layer = layer(limits().reserve_max_tokens());
    let requests = vec![
        (chat(json!({"max_tokens": 1_000})), 10),
        (chat(json!({"max_tokens": 1_000, "n": 2})), 10),
        (chat(json!({})), 10),
    ];
    let charges = each_charged(&layer, requests).await;
    assert_eq!(charges, [1_012, 2_012, 12 + 8].map(dear));
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_says_counts_as_it_is() {
    // Counted by words, and as the layer itself estimates.
    for layer in [layer(limits()), TogetherRateLimitLayer::new(limits())] {
        let mut request = chat(json!({}));
        request.extensions_mut().insert(Cost::of_tokens(500));
        let mut nothing = chat(json!({}));
        nothing.extensions_mut().insert(Cost::of_tokens(0));
        let charges = each_charged(&layer, vec![(request, 88), (nothing, 88)]).await;
        assert_eq!(charges, [500, 0]);
        // The first is settled to its response's usage; the second was not to be counted.
        assert_eq!(charged(layer.limiter()), 100);
        // The usage of a request with a given cost does not affect the others.
        let charges = each_charged(&layer, vec![(chat(json!({})), 1)]).await;
        assert!((dear(256)..dear(280)).contains(&charges[0]), "{charges:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn embeddings_are_their_prompt() {
    let layer = layer(limits());
    let body = json!({"model": "m", "input": ["one two", "three"]}).to_string();
    let request = Request::post(EMBEDDINGS).body(Full::from(body)).unwrap();
    assert_eq!(each_charged(&layer, vec![(request, 0)]).await, [dear(3)]);
}

#[tokio::test(start_paused = true)]
async fn what_can_never_fit_is_rejected_in_words_and_what_is_only_feared_is_sent() {
    let prompt = "word ".repeat(100_001);
    let large = || chat(json!({"messages": [{"content": prompt}]}));
    let greedy = || chat(json!({"max_tokens": 1_000_000}));
    let send = async |limits: Limits, request: Request<Full<Bytes>>| {
        let response = response(200, &[JSON], LITTLE);
        let service = layer(limits).layer(service_fn(move |_: Request<Full<Bytes>>| {
            let response = response.clone();
            async { Ok::<_, Infallible>(response) }
        }));
        service.oneshot(request).await.unwrap()
    };
    for (limits, request, tokens) in [
        (limits(), large(), "100267"),
        (limits().reserve_max_tokens(), greedy(), "1000012"),
    ] {
        let response = send(limits, request).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let rejected = response.extensions().get::<Rejected>().unwrap();
        assert_eq!(rejected.reason(), Reason::NeverFits);
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&text);
        let says = format!("it takes {tokens} tokens, and its whole quota is 100000 tokens in 60s");
        assert!(text.contains(&says), "{text}");
        assert!(text.contains("make it smaller"), "{text}");
    }
    assert_eq!(send(limits(), greedy()).await.status(), StatusCode::OK);
    let half = Quota::per_minute(QUOTA / 2).unwrap().unpaced();
    let both = [Endpoint::ChatCompletions, Endpoint::Embeddings];
    let shared = limits().shared_tokens(both, half);
    assert_eq!(send(shared, greedy()).await.status(), StatusCode::OK);
}
