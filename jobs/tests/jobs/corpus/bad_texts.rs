//! Texts that fail, and those beside them in a request.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::service_fn;
use tower_together_jobs::{Corpus, Item, JobsApi};

use super::at_most;

/// Embeds texts with a server that fails as `failure` says of the texts, and the second: how long that takes,
/// the status and the body. Returns what came of the texts, and how many each request had.
async fn embed(
    texts: impl Stream<Item = &'static str>,
    most: usize,
    failure: impl Fn(&[&str], u64) -> Option<(u64, u16, String)> + Clone,
) -> (Vec<Item<usize, String, Vec<f32>>>, Vec<usize>) {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let (noted, start) = (Arc::clone(&sizes), Instant::now());
    let server = service_fn(move |request: Request<Full<Bytes>>| {
        let (noted, failure) = (Arc::clone(&noted), failure.clone());
        let second = start.elapsed().as_secs();
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let texts = body["input"].as_array().unwrap().iter();
            let texts: Vec<_> = texts.map(|text| text.as_str().unwrap()).collect();
            noted.lock().unwrap().push(texts.len());
            let (takes, status, body) = failure(&texts, second).unwrap_or_else(|| {
                let vectors = texts.iter().map(|_| json!({"embedding": [1.0]}));
                let body = json!({"data": vectors.collect::<Vec<_>>()});
                (20, 200, body.to_string())
            });
            sleep(Duration::from_millis(takes)).await;
            let response = Response::builder().status(status);
            Ok::<_, Infallible>(response.body(Full::from(body)).unwrap())
        }
    });
    let corpus = Corpus::new(JobsApi::new(server)).with_max_in_flight(at_most(most));
    let texts = texts.map(str::to_owned).enumerate();
    let items = corpus.ordered().embed("m", texts).collect().await;
    let sizes = sizes.lock().unwrap().clone();
    (items, sizes)
}

/// A hundred texts in five requests, of which these are bad.
fn hundred(bad: &'static [usize]) -> impl Stream<Item = &'static str> {
    stream::iter((0..100).map(|number| match bad.contains(&number) {
        true => "bad",
        false => "good",
    }))
}

fn failed<Out>(items: &[Item<usize, String, Out>]) -> Vec<usize> {
    let failed = items.iter().filter(|item| item.result.is_err());
    failed.map(|item| item.id).collect()
}

/// The vectors of these texts, with this in place of those of the bad ones.
fn with(texts: &[&str], odd: &str) -> String {
    let vectors = texts.iter().map(|text| match *text {
        "bad" => odd,
        _ => r#"{"embedding":[1.0]}"#,
    });
    let vectors: Vec<_> = vectors.filter(|vector| !vector.is_empty()).collect();
    format!(r#"{{"data":[{}]}}"#, vectors.join(","))
}

/// One text that the server cannot embed failed nineteen others.
#[tokio::test(start_paused = true)]
async fn a_bad_text_fails_alone_however_the_server_says_so() {
    let long = r#"{"error":{"message":"The prompt exceeds the model's context length"}}"#;
    for (status, body) in [
        (400, "{}"),
        (422, "{}"),
        (403, long),
        (500, "{}"),
        (500, "<html>"),
        (502, ""),
        (200, r#"{"embedding":[NaN]}"#),
        (200, r#"{"embedding":[null]}"#),
        (200, r#"{"embedding":[]}"#),
        (200, r#"{"embedding":null}"#),
        (200, "null"),
        (200, ""),
    ] {
        for bad in [&[50][..], &[0, 19], &[99], &[5, 47, 99]] {
            // The failure comes before, with and after the success of the others.
            for takes in [0, 20, 200] {
                let (items, sizes) = embed(hundred(bad), 256, |texts, _| {
                    let body = match status {
                        200 => with(texts, body),
                        _ => body.to_owned(),
                    };
                    texts.contains(&"bad").then_some((takes, status, body))
                })
                .await;
                assert_eq!(failed(&items), bad, "{status} {body} {takes} {sizes:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_not_about_the_texts_fails_all_of_a_request_at_once() {
    for (status, message, code) in [
        (400, "Unable to access model m", "model_not_available"),
        (400, "no such model", ""),
        (404, "The model m does not exist", "model_not_available"),
        (401, "Invalid API key provided", "invalid_api_key"),
        (402, "Credit limit exceeded", ""),
        (403, "not allowed", ""),
    ] {
        let body = json!({"error": {"message": message, "code": code}}).to_string();
        let all = |_: &[&str], _| Some((1, status, body.clone()));
        let (items, sizes) = embed(hundred(&[]), 256, all).await;
        assert_eq!(failed(&items).len(), 100, "{message}");
        assert_eq!(sizes, [20; 5], "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_halved_during_an_outage() {
    // Responses of 3 s that were under way when the outage began come in it.
    for (takes, responses_take, seconds) in [
        (0, 20, 5..30),
        (20, 20, 5..30),
        (0, 3_000, 5..30),
        (0, 20, 0..30),
        (0, 20, 0..200),
        (0, 20, 3..200),
    ] {
        for most in [1, 256] {
            let out = seconds.clone();
            let outage = |texts: &[&str], second| match out.contains(&second) {
                true => Some((takes, 503, "<html>".to_owned())),
                false => Some((responses_take, 200, with(texts, ""))),
            };
            // Twenty texts in 2.2 s.
            let slowly = hundred(&[]).then(async |text| {
                sleep(Duration::from_millis(110)).await;
                text
            });
            let (items, sizes) = embed(slowly, most, outage).await;
            assert!(
                sizes.iter().all(|size| *size == 20),
                "{seconds:?} {responses_take} {sizes:?}"
            );
            let lost = seconds.end == 200;
            assert_eq!(failed(&items).is_empty(), !lost, "{seconds:?}");
        }
    }
}

/// A page of a proxy in place of vectors is no response: it is transient, as a 502 is.
#[tokio::test(start_paused = true)]
async fn a_page_in_place_of_vectors_is_asked_for_again() {
    for page in ["<html>", "", r#"{"error":{"message":"later"}}"#] {
        let (items, sizes) = embed(hundred(&[]), 1, |_, second| {
            (second < 12).then_some((1, 200, page.to_owned()))
        })
        .await;
        assert!(failed(&items).is_empty(), "{page}");
        assert!(sizes.iter().all(|size| *size == 20), "{sizes:?}");
    }
}
