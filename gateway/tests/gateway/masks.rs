//! The gateway's key in the API's responses is covered, whatever their length, speed and status.

use std::time::Duration;

use axum::body::Body as AxumBody;
use futures::{StreamExt, stream};
use http::{Response, StatusCode};
use tokio::time::timeout;

use crate::{
    api::Api,
    process::Gateway,
    program::{Program, chat, streamed},
};
use testing::PATIENCE;

const KEY: &str = "tgp_v1_the-gateways-own-key";

async fn gateway(api: &Api) -> Gateway {
    let (url, env) = (api.url(), [("TOGETHER_API_KEY", KEY)]);
    let flags = ["--base-url", &url, "--limit", "chat-completions=60000"];
    Gateway::start_with(&flags, &env).await
}

fn quoted_after(bytes: usize) -> String {
    format!("{} your key {KEY} is wrong", "x".repeat(bytes))
}

/// The layers read 16 KiB of an error, and only of an error: the part that they did not read quoted the key.
#[tokio::test]
async fn a_response_quotes_it_nowhere() {
    let api = Api::start().await;
    let gateway = gateway(&api).await;
    for status in [200, 307, 400, 404, 422] {
        for before in [0, 20_000, 300_000] {
            let text = quoted_after(before);
            let response = Response::builder().status(status);
            api.will_respond(response.body(text.clone()).unwrap());
            let response = Program::new("tom").send(gateway.post(chat("m"))).await;
            assert_eq!(response.status.as_u16(), status);
            assert_eq!(response.header("content-length"), text.len().to_string());
            let covered = text.replace(KEY, &"*".repeat(KEY.len()));
            assert!(response.text() == covered, "{status} after {before}");
        }
    }
}

#[tokio::test]
async fn a_response_that_stalls_in_the_middle_of_it_does_not_quote_it() {
    let api = Api::start().await;
    let gateway = gateway(&api).await;
    let (first, second) = KEY.split_at(9);
    let pieces = [format!("data: {first}"), format!("{second} is wrong\n\n")];
    let pieces = stream::iter(pieces)
        .enumerate()
        .then(|(n, piece)| async move {
            // Longer than the layers read an error.
            tokio::time::sleep(Duration::from_millis(1_500 * n as u64)).await;
            Ok::<_, std::io::Error>(piece)
        });
    let response = Response::builder().status(StatusCode::BAD_REQUEST);
    let body = AxumBody::from_stream(pieces.chain(stream::pending()));
    api.will_respond(response.body(body).unwrap());
    let mut response = Program::new("tom").open(gateway.post(chat("m"))).await;
    let event = timeout(PATIENCE, response.event()).await;
    let covered = "*".repeat(KEY.len());
    assert_eq!(event.unwrap().unwrap(), format!("data: {covered} is wrong"));
}

/// Bytes of a stream are held back only if they may begin the key.
#[tokio::test]
async fn what_is_no_secret_is_not_held_back() {
    let api = Api::start().await;
    let gateway = gateway(&api).await;
    let event = stream::iter([Ok::<_, std::io::Error>("data: a tgp\n\n")]);
    let body = AxumBody::from_stream(event.chain(stream::pending()));
    api.will_respond(Response::new(body));
    let mut response = Program::new("tom").open(gateway.post(streamed("m"))).await;
    let event = timeout(PATIENCE, response.event()).await;
    assert_eq!(event.unwrap().unwrap(), "data: a tgp");
}

/// A word that is a key for a server that takes any key may also be a word of a model's output.
#[tokio::test]
async fn a_key_that_is_a_word_is_covered_in_errors_alone() {
    let api = Api::start().await;
    let env = [("TOGETHER_API_KEY", "test")];
    let gateway = Gateway::start_with(&["--base-url", &api.url()], &env).await;
    for (status, text) in [(200, "a test"), (400, "a ****")] {
        let response = Response::builder().status(status);
        api.will_respond(response.body("a test").unwrap());
        let response = Program::new("tom").send(gateway.post(chat("m"))).await;
        assert_eq!(response.text(), text);
    }
    // An error in a 200 is an error.
    let error = |word| format!(r#"{{"error":{{"code":400,"message":"not with {word}"}}}}"#);
    api.will_respond(Response::new(error("test")));
    let response = Program::new("tom").send(gateway.post(chat("m"))).await;
    assert_eq!(
        (response.status.as_u16(), response.text()),
        (200, &*error("****"))
    );
}
