//! The requests of `tower-together-jobs`, over reqwest.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{Empty, Full};
use reqwest::Client;
use serde_json::{Value, json};
use together_standin::{Jobs, StandIn};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_together::{Limiter, TogetherLayer, stack::HttpOverReqwest};
use tower_together_jobs::{Batches, Corpus, FineTunes, JobsApi};

const TICK: Duration = Duration::from_millis(5);

#[tokio::test]
async fn a_corpus_batches_fine_tunes_and_a_limiter_that_asks_for_jobs() {
    let quick = Jobs::default().batch_time(TICK).fine_tune_time(TICK);
    let server = StandIn::builder().jobs(quick).start().await.unwrap();
    let limiter = Limiter::default();
    let http = Client::builder().no_proxy().build().unwrap();
    let file = upload(&http, &server).await;
    let client = ServiceBuilder::new()
        .layer(TogetherLayer::from(limiter.clone()))
        .service(HttpOverReqwest::new(http));
    let api = JobsApi::new(client)
        .with_base(&format!("{}/v1", server.url()))
        .and_then(|api| api.with_key("key"))
        .unwrap()
        .with_interval(TICK);

    let texts = stream::iter((0..50).map(|number| (number, number.to_string())));
    let vectors: Vec<_> = Corpus::new(api.clone()).embed("m", texts).collect().await;
    assert_eq!(vectors.len(), 50);
    assert!(vectors.iter().all(|item| item.result.is_ok()));

    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
    let outcomes = Batches::new(api.clone()).run([chat]);
    let outcomes: Vec<_> = pin!(outcomes).collect().await;
    assert!(outcomes[0].result.is_ok(), "{outcomes:?}");

    assert_eq!(limiter.sync_jobs(api.clone()).await.unwrap(), 0);
    let tune = json!({"model": "m", "training_file": file, "suffix": "s"});
    let tunes = FineTunes::new(api, limiter).with_settle(TICK).run([tune]);
    let tunes: Vec<_> = pin!(tunes).collect().await;
    assert!(tunes[0].result.is_ok(), "{tunes:?}");
}

/// Uploads a training file.
async fn upload(client: &Client, server: &StandIn) -> String {
    let form = "--cut\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n\
                --cut\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{}\r\n\
                --cut--\r\n";
    let request = client.post(format!("{}/v1/files/upload", server.url()));
    let request = request.bearer_auth("key").body(form);
    let request = request.header("content-type", "multipart/form-data; boundary=cut");
    let file: Value = request.send().await.unwrap().json().await.unwrap();
    file["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_body_in_memory_is_sent_as_it_is() {
    let server = StandIn::start().await.unwrap();
    let url = format!("{}/v1/embeddings", server.url());
    let post = || http::Request::post(&url).header("content-type", "application/json");
    let post = || post().header("authorization", "Bearer key");
    let client = Client::builder().no_proxy().build().unwrap();
    let text = r#"{"model":"m","input":"hello"}"#;
    let layer = TogetherLayer::default();
    macro_rules! sends {
        ($($body:expr),*) => {$(
            let over = layer.layer(HttpOverReqwest::new(client.clone()));
            let response = over.oneshot(post().body($body).unwrap()).await.unwrap();
            assert_eq!(response.status(), 200);
        )*};
    }
    sends!(
        Full::<Bytes>::from(text),
        Bytes::from(text),
        text,
        text.to_owned(),
        text.as_bytes().to_owned(),
        reqwest::Body::from(text)
    );
    let over = layer.layer(HttpOverReqwest::new(client.clone()));
    let response = over.oneshot(post().body(Empty::<Bytes>::new()).unwrap());
    assert_eq!(response.await.unwrap().status(), 400);
}
