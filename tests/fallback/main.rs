//! The fallback layer over both others, in virtual time.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod api;

use std::{convert::Infallible, time::Duration};

use api::{Api, Client, status};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::{client::legacy, rt::TokioExecutor};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{
    Classify, Endpoint, Limiter, Limits, Quota, Rejected, TogetherFallbackLayer, TogetherLayer,
    TogetherRateLimitLayer, TogetherRetryLayer,
    body::{Memory, Whole},
    extension::{
        Cost, Deadline, Fallback, Model, PassedOver, Retries, RetryReport, Served, Waited,
    },
    fallback::TogetherFallback,
    rate_limit::ResponseBody,
    retry::Budget,
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

/// No jitter, so that the instants are known, and no end of retries out of the budget.
fn exact() -> TogetherRetryLayer {
    TogetherRetryLayer::default()
        .with_jitter(Duration::ZERO)
        .with_budget(Budget::unlimited())
}

fn both(limits: Limits) -> TogetherLayer {
    TogetherLayer::new(limits).with_retry(exact())
}

/// One request a minute to that model.
fn one_a_minute(model: &str) -> Limits {
    let limits = Limits::none();
    let quota = Quota::per_minute(1).unwrap();
    limits.for_model(
        model,
        Limits::none().requests(Endpoint::ChatCompletions, quota),
    )
}

type Answer = Whole<ResponseBody<Full<Bytes>>>;
type Stack = TogetherFallback<<TogetherLayer as Layer<Client>>::Service>;

fn stack(layer: &TogetherFallbackLayer, limits: Limits, api: &Api) -> Stack {
    layer.layer(both(limits).layer(api.client()))
}

/// Sends one request through all three layers, without limits.
async fn send(
    layer: &TogetherFallbackLayer,
    request: Request<Full<Bytes>>,
    api: &Api,
) -> Response<Answer> {
    let stack = stack(layer, Limits::none(), api);
    stack.oneshot(request).await.unwrap()
}

/// Who served instead, and why the others did not.
fn served<R>(answer: &Response<R>) -> Option<(String, Vec<(String, PassedOver)>)> {
    let served = answer.extensions().get::<Served>()?;
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

use PassedOver::{LongWait, NeverFits, Overloaded};

#[tokio::test(start_paused = true)]
async fn after_so_many_503s_the_next_model_answers() {
    for (most, models) in [
        (1, "a b"),
        (2, "a a b"),
        (4, "a a a a b"),
        (9, "a a a a a b"),
    ] {
        let api = Api::new([("a", vec![status(503); 9])]);
        let answer = send(&chain().with_max_503s(most), chat(), &api).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(api.models(), models);
        assert_eq!(served(&answer), instead("b", &[("a", Overloaded)]));
    }
    // Two, if nobody says otherwise.
    let api = Api::new([("a", vec![status(503); 9]), ("b", vec![status(503); 9])]);
    let answer = send(&chain(), chat(), &api).await;
    assert_eq!(api.models(), "a a b b c");
    assert_eq!(
        served(&answer),
        instead("c", &[("a", Overloaded), ("b", Overloaded)])
    );
}

#[tokio::test(start_paused = true)]
async fn what_its_own_model_answers_says_nothing_of_others() {
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
        let answer = send(&chain(), chat(), &api).await;
        assert_eq!(api.models(), models);
        assert_eq!(served(&answer), None);
    }
    // Failures of other kinds are sent again as ever, and do not count.
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
async fn the_last_model_has_all_the_patience_there_is() {
    let trouble = || vec![status(503); 9];
    let api = Api::new([("a", trouble()), ("b", trouble()), ("c", trouble())]);
    let answer = send(&chain().with_max_503s(1), chat(), &api).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(api.models(), "a b c c c c c");
    assert_eq!(
        served(&answer),
        instead("c", &[("a", Overloaded), ("b", Overloaded)])
    );
    assert_eq!(
        answer.extensions().get::<RetryReport>().unwrap().attempts(),
        5
    );

    // Its turn, too, it waits for.
    let layer = TogetherFallbackLayer::new()
        .with_chain("a", ["b"])
        .with_max_wait(seconds(2));
    let limits = one_a_minute("b");
    let api = Api::new([("a", vec![status(503).retry_after("100")])]);
    let stack = stack(&layer, limits, &api);
    for waited in [0, 60] {
        let answer = stack.clone().oneshot(chat()).await.unwrap();
        assert_eq!(served(&answer), instead("b", &[("a", LongWait)]));
        let found = answer.extensions().get::<Waited>();
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
    // What is short enough is waited for.
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
        request.extensions_mut().insert(Cost::tokens(500));
        request
    };
    let api = Api::new([]);
    let answer = stack(&chain(), tokens("a", 100), &api).oneshot(dear());
    let answer = answer.await.unwrap();
    assert_eq!(served(&answer), instead("b", &[("a", NeverFits)]));
    assert_eq!(api.models(), "b");
    // Where it fits none, the last refusal is the answer.
    let quota = Quota::per_minute(100).unwrap();
    let all = Limits::none().tokens(Endpoint::ChatCompletions, quota);
    let answer = stack(&chain(), all, &api).oneshot(dear()).await.unwrap();
    assert_eq!(answer.status(), 400);
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
        let answer = stack.oneshot(request).await.unwrap();
        let expected = falls_back.then(|| instead("b", &[("a", LongWait)]));
        assert_eq!(served(&answer), expected.flatten());
    }
}

/// A pause is found out by one request, and those after it do not even ask.
#[tokio::test(start_paused = true)]
async fn a_paused_model_is_passed_over() {
    for code in [429, 503] {
        let api = Api::new([("a", vec![status(code).retry_after("20")])]);
        let stack = stack(&chain().with_max_wait(seconds(5)), Limits::none(), &api);
        for _ in 0..2 {
            let answer = stack.clone().oneshot(chat()).await.unwrap();
            assert_eq!(served(&answer), instead("b", &[("a", LongWait)]));
        }
        assert_eq!(api.models(), "a b b");
        sleep(seconds(16)).await;
        let answer = stack.oneshot(chat()).await.unwrap();
        assert_eq!(served(&answer), None);
        assert_eq!(api.sent()[3].at.as_secs(), 20);
    }
}

/// Without a retry layer that would wait, the server's own word is what is predicted.
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
    let answer = all.oneshot(hurried()).await.unwrap();
    assert_eq!(served(&answer), instead("b", &[("a", LongWait)]));

    // What A has used up of it B has not.
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
        let answer = stack(&two, Limits::none(), &api);
        let answer = answer.oneshot(hurried()).await.unwrap();
        assert_eq!(answer.status() == 200, ok, "{takes} {waits}");
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
        let answer = send(&chain(), with(retries), &api).await;
        assert_eq!(answer.status(), 503);
        assert_eq!(api.models(), models);
    }
    // What never left was not sent.
    let api = Api::new([]);
    let stack = stack(&chain(), one_a_minute("a"), &api);
    stack.clone().oneshot(chat()).await.unwrap();
    let mut once = with(Retries::off());
    once.extensions_mut().insert(Deadline::within(seconds(1)));
    let answer = stack.oneshot(once).await.unwrap();
    assert_eq!(served(&answer), instead("b", &[("a", LongWait)]));
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
            let answer = send(&chain(), request, &api).await;
            assert_eq!(answer.status() == 200, falls_back, "{path} {says}");
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
async fn nothing_but_the_model_is_another_one() {
    let body = r#" { "n":1.50, "model" : "a" ,"x":{"model":"a"},"s":"é\u00e9"} "#;
    let mut request = post("/v1/chat/completions?x=y", "a").map(|_| Full::from(body));
    request.extensions_mut().insert(Model::new("alias"));
    request
        .extensions_mut()
        .insert(Fallback::to(["\"long\" one"]));
    let headers = request.headers_mut();
    headers.insert("content-length", body.len().into());
    headers.insert("authorization", "Bearer key".parse().unwrap());
    let api = Api::new([("a", vec![status(503); 9])]);
    send(&chain().with_max_503s(1), request, &api).await;
    let [first, second] = api.sent().try_into().unwrap();
    assert_eq!(first.body, body);
    assert_eq!(first.said.as_deref(), Some("alias"));
    assert_eq!(second.body, body.replacen(r#""a""#, r#""\"long\" one""#, 1));
    assert_eq!(second.said.as_deref(), Some("\"long\" one"));
    assert_eq!(second.path, first.path);
    assert_eq!(
        second.headers["content-length"],
        second.body.len().to_string()
    );
    let mut headers = second.headers;
    headers.insert("content-length", first.headers["content-length"].clone());
    assert_eq!(headers, first.headers);
    // Where they are not said, they are not said.
    let api = Api::new([("a", vec![status(503); 9])]);
    send(&chain().with_max_503s(1), chat(), &api).await;
    assert!(api.sent()[1].headers.is_empty());
    assert_eq!(api.sent()[1].said, None);
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

/// A slot is given back before the next model is asked, or two requests that hold one each would wait
/// for one another.
#[tokio::test(start_paused = true)]
async fn nothing_of_one_model_is_held_while_another_is_asked() {
    let one = std::num::NonZeroU32::MIN;
    let limits = Limits::none().in_flight(Endpoint::ChatCompletions, one);
    let api = Api::new([("a", vec![status(503)])]);
    let once = chain().with_max_503s(1).with_max_wait(seconds(1));
    let answer = stack(&once, limits, &api).oneshot(chat()).await.unwrap();
    assert_eq!(served(&answer), instead("b", &[("a", Overloaded)]));
}

/// So that its connection can be used again; but not for long, and only to half of what is left to the deadline.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_thrown_away_is_read_to_its_end() {
    let forever = 1_000_000;
    for (takes, deadline, asked) in [
        (100, 60_000, 100),
        (forever, 60_000, 500),
        (forever, 200, 100),
    ] {
        let start = Instant::now();
        let client = service_fn(move |request: Request<Full<Bytes>>| async move {
            let body = request.into_body().collect().await?.to_bytes();
            let large = body.starts_with(br#"{"model":"a""#);
            let takes = Duration::from_millis(if large { takes } else { 0 });
            let frames = futures::stream::once(async move {
                sleep(takes).await;
                Ok::<_, Infallible>(Frame::data(Bytes::from("{}")))
            });
            let mut response = Response::new(StreamBody::new(Box::pin(frames)));
            if large {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            response
                .headers_mut()
                .insert("at", (start.elapsed().as_millis() as u64).into());
            Ok::<_, Infallible>(response)
        });
        let request = with(Deadline::within(Duration::from_millis(deadline)));
        let answer = chain().layer(client).oneshot(request).await.unwrap();
        assert_eq!(answer.headers()["at"], asked.to_string());
        assert_eq!(served(&answer), instead("b", &[("a", Overloaded)]));
    }
}

/// A body that cannot be looked at has no model that anybody could change; all else is as if the layer
/// were not there.
#[tokio::test(start_paused = true)]
async fn a_stream_is_left_alone() {
    async fn api(request: Request<axum::body::Body>) -> Result<Response<Full<Bytes>>, Infallible> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"model":"a"}"#);
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        Ok(response)
    }
    let stack = chain().layer(both(Limits::none()).layer(service_fn(api)));
    let mut request = Request::post("https://api.together.ai/v1/chat/completions")
        .body(axum::body::Body::from(r#"{"model":"a"}"#))
        .unwrap();
    request.extensions_mut().insert(Fallback::to(["b"]));
    let answer = stack.oneshot(request).await.unwrap();
    let report = answer.extensions().get::<RetryReport>().unwrap();
    assert_eq!(report.attempts(), 5);
    assert_eq!(served(&answer), None);
}

/// What there is no room to keep stays with its model, and with all the patience that one gets.
#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_the_memory_is_left_alone() {
    for (each, attempts) in [(13, 2), (12, 5)] {
        let client = service_fn(|request: Request<Vec<u8>>| async move {
            let mut response = Response::new(Full::<Bytes>::default());
            if request.into_body() == br#"{"model":"a"}"# {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            Ok::<_, Infallible>(response)
        });
        let layer = chain().with_memory(Memory::new(each, each));
        let request = chat().map(|_| br#"{"model":"a"}"#.to_vec());
        let answer = layer.layer(exact().layer(client)).oneshot(request).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status() == 200, attempts == 2);
        if attempts == 5 {
            let report = answer.extensions().get::<RetryReport>().unwrap();
            assert_eq!(report.attempts(), 5);
        }
    }
}

/// A limiter that is closed refuses every model.
#[tokio::test(start_paused = true)]
async fn a_refusal_that_holds_for_all_is_returned() {
    let api = Api::new([]);
    let layer = both(Limits::none());
    layer.limiter().close();
    let answer = chain().layer(layer.layer(api.client()));
    let answer = answer.oneshot(chat()).await.unwrap();
    assert!(answer.extensions().get::<Rejected>().is_some());
    assert_eq!(served(&answer), None);
    assert_eq!(api.models(), "");
}

/// It asks nothing of the service inside that it does not need, and hides nothing that it has.
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
fn no_answer_at_all_is_refused_in_words() {
    let _ = chain().with_max_503s(0);
}

#[test]
#[should_panic(expected = "Fallback::off() for no fallback")]
fn a_model_without_a_name_is_refused_in_words() {
    let _ = chain().with_chain("a", [""]);
}
