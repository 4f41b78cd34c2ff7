//! The fallback layer over both others, in virtual time.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod api;
mod bodies;
mod patience;

use std::time::Duration;

use PassedOver::Overloaded;
use api::{Api, Client, status};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::{client::legacy, rt::TokioExecutor};
use testing::exact;
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{
    Classify, Endpoint, Limits, Quota, Rejected, TogetherFallbackLayer, TogetherLayer,
    body::Whole,
    extension::{Fallback, PassedOver, Served},
    fallback::TogetherFallback,
    rate_limit::ResponseBody,
};

const CHAT: &str = "/v1/chat/completions";

fn post(path: &str, model: &str) -> Request<Full<Bytes>> {
    let request = Request::post(format!("https://api.together.ai{path}"));
    let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
    request.body(Full::from(body)).unwrap()
}

fn chat() -> Request<Full<Bytes>> {
    post(CHAT, "a")
}

fn with<T: Clone + Send + Sync + 'static>(said: T) -> Request<Full<Bytes>> {
    let mut request = chat();
    request.extensions_mut().insert(said);
    request
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn chain() -> TogetherFallbackLayer {
    TogetherFallbackLayer::new().with_chain("a", ["b", "c"])
}

fn both(limits: Limits) -> TogetherLayer {
    TogetherLayer::new(limits).with_retry(exact())
}

/// One request a minute to `model`.
fn one_a_minute(model: &str) -> Limits {
    let limits = Limits::none();
    let quota = Quota::per_minute(1).unwrap();
    limits.for_model(
        model,
        Limits::none().requests(Endpoint::ChatCompletions, quota),
    )
}

type LayeredBody = Whole<ResponseBody<Full<Bytes>>>;

type Stack = TogetherFallback<<TogetherLayer as Layer<Client>>::Service>;

fn stack(layer: &TogetherFallbackLayer, limits: Limits, api: &Api) -> Stack {
    layer.layer(both(limits).layer(api.client()))
}

/// Sends one request through all three layers, without limits.
async fn send(
    layer: &TogetherFallbackLayer,
    request: Request<Full<Bytes>>,
    api: &Api,
) -> Response<LayeredBody> {
    let stack = stack(layer, Limits::none(), api);
    stack.oneshot(request).await.unwrap()
}

/// The model that served instead, and the reasons why the others did not.
fn served<R>(response: &Response<R>) -> Option<(String, Vec<(String, PassedOver)>)> {
    let served = response.extensions().get::<Served>()?;
    let before = served.passed_over().map(|(model, why)| (model.into(), why));
    Some((served.model().into(), before.collect()))
}

fn instead(
    model: &str,
    before: &[(&str, PassedOver)],
) -> Option<(String, Vec<(String, PassedOver)>)> {
    let before = before.iter().map(|(model, why)| ((*model).into(), *why));
    Some((model.into(), before.collect()))
}

#[tokio::test(start_paused = true)]
async fn a_response_about_one_model_says_nothing_of_others() {
    for (replies, models) in [
        (vec![], "a"),
        (vec![status(503)], "a a"),
        (vec![status(400)], "a"),
        (
            vec![status(500), status(429), status(503), status(502)],
            "a a a a a",
        ),
    ] {
        let api = Api::new([("a", replies)]);
        let response = send(&chain(), chat(), &api).await;
        assert_eq!(api.models(), models);
        assert_eq!(served(&response), None);
    }
    // Other failures are retried as usual, and do not count.
    let trouble = vec![status(500), status(503), status(429), status(503)];
    let api = Api::new([("a", trouble)]);
    send(&chain(), chat(), &api).await;
    assert_eq!(api.models(), "a a a a b");
    // They are not a reason by themselves either, nor is what the client says.
    let api = Api::new([("a", vec![status(500); 9])]);
    assert_eq!(send(&chain(), chat(), &api).await.status(), 500);
    let api = Api::new([("a", vec![status(0); 9])]);
    let stack = stack(&chain(), Limits::none(), &api);
    assert!(stack.oneshot(chat()).await.is_err());
    assert_eq!(api.models(), "a a a a a");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_to_two_models_that_creates_or_is_compared() {
    let named = Fallback::to(["b"]);
    for (path, chained, said) in [
        (CHAT, true, true),
        ("/v1/completions", true, true),
        ("/v1/images/generations", true, true),
        ("/v1/embeddings", false, true),
        ("/v1/rerank", false, true),
        ("/v1/audio/speech", false, true),
        ("/v1/videos", false, false),
        ("/v1/fine-tunes", false, false),
        ("/v1/batches", false, false),
        ("/v1/evaluation", false, false),
        ("/v1/somewhere", false, false),
    ] {
        for (says, falls_back) in [(false, chained), (true, said)] {
            let api = Api::new([("a", vec![status(503); 9])]);
            let mut request = post(path, "a");
            if says {
                request.extensions_mut().insert(named.clone());
            }
            let response = send(&chain(), request, &api).await;
            assert_eq!(response.status() == 200, falls_back, "{path} {says}");
            assert_eq!(api.models().contains('b'), falls_back, "{path} {says}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_may_name_others_or_none() {
    for (said, models) in [
        (Fallback::to(["c", "a", "b"]), "a a c c b"),
        (Fallback::to(["a"]), "a a a a a"),
        (Fallback::off(), "a a a a a"),
    ] {
        let api = Api::new([("a", vec![status(503); 9]), ("c", vec![status(503); 9])]);
        send(&chain(), with(said), &api).await;
        assert_eq!(api.models(), models);
    }
    for (layer, model) in [
        (TogetherFallbackLayer::new(), "a"),
        (chain(), "x"),
        (
            chain().with_classify(Classify::default().only_hosts(["else.where"])),
            "a",
        ),
    ] {
        let api = Api::new([(model, vec![status(503); 9])]);
        assert_eq!(send(&layer, post(CHAT, model), &api).await.status(), 503);
        assert_eq!(api.sent().len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_it_goes_nowhere_else() {
    let api = Api::new([("a", vec![status(503).takes(5)])]);
    let once = chain().with_max_503s(1);
    let all = stack(&once, Limits::none(), &api);
    assert!(
        timeout(seconds(1), all.clone().oneshot(chat()))
            .await
            .is_err()
    );
    assert_eq!(api.under_way(), 0);
    sleep(seconds(60)).await;
    assert_eq!(api.models(), "a");
    // Nor from the model after it.
    let api = Api::new([("a", vec![status(503)]), ("b", vec![status(503).takes(5)])]);
    let all = stack(&once, Limits::none(), &api);
    assert!(timeout(seconds(1), all.oneshot(chat())).await.is_err());
    assert_eq!(api.under_way(), 0);
    sleep(seconds(60)).await;
    assert_eq!(api.models(), "a b");
}

/// A slot is given back before the next model is called. Otherwise two requests that hold one slot each would wait for
/// each other.
#[tokio::test(start_paused = true)]
async fn nothing_of_one_model_is_held_while_another_is_asked() {
    let one = std::num::NonZeroU32::MIN;
    let limits = Limits::none().in_flight(Endpoint::ChatCompletions, one);
    let api = Api::new([("a", vec![status(503)])]);
    let once = chain().with_max_503s(1).with_max_wait(seconds(1));
    let response = stack(&once, limits, &api).oneshot(chat()).await.unwrap();
    assert_eq!(served(&response), instead("b", &[("a", Overloaded)]));
}

/// A closed limiter rejects every model.
#[tokio::test(start_paused = true)]
async fn a_rejection_that_holds_for_all_is_returned() {
    let api = Api::new([]);
    let layer = both(Limits::none());
    layer.limiter().close();
    let response = chain().layer(layer.layer(api.client()));
    let response = response.oneshot(chat()).await.unwrap();
    assert!(response.extensions().get::<Rejected>().is_some());
    assert_eq!(served(&response), None);
    assert_eq!(api.models(), "");
}

/// The layer requires nothing of the inner service that it does not need, and hides nothing of it.
#[tokio::test(start_paused = true)]
async fn a_stack_is_what_its_client_is() {
    fn anywhere<T: Clone + Send + Sync + Unpin + 'static>(_: &T) {}
    fn sent<T: Send + 'static>(_: T) {}
    let client = legacy::Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let stack = chain().layer(both(Limits::none()).layer(client));
    anywhere(&chain());
    anywhere(&stack);
    sent(stack.clone().call(chat()));
    // Neither `Send` nor `'static`, nor is its error.
    let calls = std::cell::Cell::new(0);
    let local = service_fn(|_: Request<Full<Bytes>>| async {
        calls.set(calls.get() + 1);
        Err::<Response<Full<Bytes>>, _>(&calls)
    });
    let failed = chain().layer(local).oneshot(chat()).await;
    assert_eq!(failed.unwrap_err().get(), 1);
}

#[test]
#[should_panic(expected = "write 1 to go on after its first 503")]
fn no_response_at_all_is_rejected_in_words() {
    let _ = chain().with_max_503s(0);
}

#[test]
#[should_panic(expected = "Fallback::off() for no fallback")]
fn a_model_without_a_name_is_rejected_in_words() {
    let _ = chain().with_chain("a", [""]);
}
