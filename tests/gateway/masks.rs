//! The gateway's key in what the API answers: however long, however slowly, with whatever status.

use std::{sync::Arc, time::Duration};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Response, StatusCode};
use proptest::prelude::*;
use tokio::time::timeout;

use crate::{
    api::Api,
    mask::Mask,
    patience::PATIENCE,
    process::Gateway,
    program::{Program, chat, streamed},
};

const KEY: &str = "tgp_v1_the-gateways-own-key";

fn masked(secret: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    let mut mask = Mask::new(Arc::from(secret));
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(mask.push(Bytes::copy_from_slice(piece)));
        // What is held back might be the beginning of the secret, and nothing else is.
        assert!(mask.held() < secret.len());
        let so_far: usize = out.len() + mask.held();
        let came: Vec<u8> = pieces.concat();
        assert!(came[..so_far].ends_with(&secret[..mask.held()]));
    }
    out.extend(mask.end());
    out
}

proptest! {
    /// Of two letters, so that its beginning is everywhere.
    #[test]
    fn no_split_lets_it_through(
        secret in "[ab]{1,6}",
        text in "[ab]{0,60}",
        cuts in prop::collection::vec(0..61_usize, 0..12),
    ) {
        let (secret, text) = (secret.as_bytes(), text.as_bytes());
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
        let out = masked(secret, &pieces);
        prop_assert_eq!(out.len(), text.len());
        prop_assert!(!out.windows(secret.len()).any(|part| part == secret));
        // The same as in one piece, and as the standard library would.
        let text = std::str::from_utf8(text).unwrap();
        let plain = text.replace(std::str::from_utf8(secret).unwrap(), &"*".repeat(secret.len()));
        prop_assert_eq!(out, plain.into_bytes());
    }

    /// What covers it is never a part of it, or with what follows it could be it again.
    #[test]
    fn nor_does_what_covers_it(
        secret in "[*#a]{1,6}",
        before in "[*#a]{0,20}",
        after in "[*#a]{0,20}",
        size in 1..9_usize,
    ) {
        let [secret, before, after] = [&secret, &before, &after].map(|text| text.as_bytes());
        let text = [before, secret, after].concat();
        let pieces: Vec<_> = text.chunks(size).collect();
        let out = masked(secret, &pieces);
        prop_assert_eq!(out.len(), text.len());
        prop_assert!(!out.windows(secret.len()).any(|part| part == secret));
    }
}

async fn gateway(api: &Api) -> Gateway {
    let (url, env) = (api.url(), [("TOGETHER_API_KEY", KEY)]);
    let flags = ["--base-url", &url, "--limit", "chat-completions=60000"];
    Gateway::start_with(&flags, &env).await
}

fn quoted_after(bytes: usize) -> String {
    format!("{} your key {KEY} is wrong", "x".repeat(bytes))
}

/// The layers read 16 KiB of an error, and only of one: what they did not read quoted the key.
#[tokio::test]
async fn an_answer_quotes_it_nowhere() {
    let api = Api::start().await;
    let gateway = gateway(&api).await;
    for status in [200, 307, 400, 404, 422] {
        for before in [0, 20_000, 300_000] {
            let text = quoted_after(before);
            let answer = Response::builder().status(status);
            api.will_answer(answer.body(text.clone()).unwrap());
            let answer = Program::new("tom").send(gateway.post(chat("m"))).await;
            assert_eq!(answer.status.as_u16(), status);
            assert_eq!(answer.header("content-length"), text.len().to_string());
            let covered = text.replace(KEY, &"*".repeat(KEY.len()));
            assert!(answer.text() == covered, "{status} after {before}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_stalls_in_the_middle_of_it_does_not_quote_it() {
    let api = Api::start().await;
    let gateway = gateway(&api).await;
    let (first, second) = KEY.split_at(9);
    let pieces = [format!("data: {first}"), format!("{second} is wrong\n\n")];
    let pieces = stream::iter(pieces)
        .enumerate()
        .then(|(n, piece)| async move {
            // Longer than the layers look at an error.
            tokio::time::sleep(Duration::from_millis(1_500 * n as u64)).await;
            Ok::<_, std::io::Error>(piece)
        });
    let answer = Response::builder().status(StatusCode::BAD_REQUEST);
    let body = AxumBody::from_stream(pieces.chain(stream::pending()));
    api.will_answer(answer.body(body).unwrap());
    let mut answer = Program::new("tom").open(gateway.post(chat("m"))).await;
    let event = timeout(PATIENCE, answer.event()).await;
    let covered = "*".repeat(KEY.len());
    assert_eq!(event.unwrap().unwrap(), format!("data: {covered} is wrong"));
}

/// Nothing is kept back of a stream that does not end as the key begins.
#[tokio::test]
async fn what_is_no_secret_is_not_held_back() {
    let api = Api::start().await;
    let gateway = gateway(&api).await;
    let event = stream::iter([Ok::<_, std::io::Error>("data: a tgp\n\n")]);
    let body = AxumBody::from_stream(event.chain(stream::pending()));
    api.will_answer(Response::new(body));
    let mut answer = Program::new("tom").open(gateway.post(streamed("m"))).await;
    let event = timeout(PATIENCE, answer.event()).await;
    assert_eq!(event.unwrap().unwrap(), "data: a tgp");
}

/// A word that serves as a key where any does is one that a model may say.
#[tokio::test]
async fn a_key_that_is_a_word_is_covered_in_errors_alone() {
    let api = Api::start().await;
    let env = [("TOGETHER_API_KEY", "test")];
    let gateway = Gateway::start_with(&["--base-url", &api.url()], &env).await;
    for (status, text) in [(200, "a test"), (400, "a ****")] {
        let answer = Response::builder().status(status);
        api.will_answer(answer.body("a test").unwrap());
        let answer = Program::new("tom").send(gateway.post(chat("m"))).await;
        assert_eq!(answer.text(), text);
    }
}
