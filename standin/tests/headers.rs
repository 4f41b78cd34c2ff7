//! Limits as responses tell of them: headers of all generations, types, messages; over sockets. The
//! clock is paused, so that nothing refills during a test.

mod common;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use common::{Caller, Got, HOUR, MINUTE, PATIENCE, chat, quick, until};
use serde_json::{Value, json};
use together_standin::{Headers, Limit, Route, Rules, StandIn};
use tokio::time::{advance, sleep};

const PATH: &str = "/v1/chat/completions";

/// The rate limit headers of a response.
fn told(got: &Got) -> BTreeMap<&str, &str> {
    let names = got.headers.keys().map(|name| name.as_str());
    let about_limits = |name: &&str| name.contains("limit") || name.contains("retry");
    let names = names.filter(about_limits);
    names
        .map(|name| (name, got.header(name).unwrap()))
        .collect()
}

/// 30 requests a minute, 2 at once; 600 tokens a minute, 100 at once.
async fn server(headers: Headers) -> (StandIn, Caller) {
    let rules = Rules::none()
        .limit(Route::Chat, Limit::gcra(30, MINUTE, 2))
        .tokens(Route::Chat, Limit::gcra(600, MINUTE, 100));
    let server = quick().rules(rules).headers(headers).start().await;
    let server = server.unwrap();
    let caller = Caller::new(&server);
    (server, caller)
}

/// The headers of a success, and of the third request, which is rejected.
async fn two(headers: Headers) -> [Got; 2] {
    let (_server, caller) = server(headers).await;
    let good = caller.post(PATH, &chat()).await;
    assert_eq!(good.status, 200);
    caller.post(PATH, &chat()).await;
    let rejected = caller.post(PATH, &chat()).await;
    assert_eq!(rejected.status, 429);
    [good, rejected]
}

const ONE: [(&str, &str); 3] = [
    ("x-ratelimit-limit", "0.5"),
    ("x-ratelimit-remaining", "1"),
    ("x-ratelimit-reset", "0"),
];
const TOKENS: [(&str, &str); 1] = [("x-ratelimit-limit-tokens", "10")];
const MORE: [(&str, &str); 4] = [
    ("x-ratelimit-limit-dynamic", "0.5"),
    ("x-ratelimit-remaining-dynamic", "1"),
    ("x-tokenlimit-limit", "10"),
    ("x-tokenlimit-limit-dynamic", "10"),
];

/// How many tokens remain, on which all headers must agree; and the other headers.
fn but_remaining_tokens(got: &Got) -> (Option<u64>, BTreeMap<&str, &str>) {
    let mut told = told(got);
    let mut remaining = Vec::new();
    for name in [
        "x-ratelimit-remaining-tokens",
        "x-tokenlimit-remaining",
        "x-tokenlimit-remaining-dynamic",
    ] {
        remaining.extend(told.remove(name).map(|left| left.parse::<u64>().unwrap()));
    }
    remaining.dedup();
    assert!(remaining.len() <= 1, "{remaining:?}");
    (remaining.pop(), told)
}

#[tokio::test(start_paused = true)]
async fn each_generation_has_its_headers() {
    for (headers, good, rejected) in [
        (Headers::Never, vec![], vec![]),
        (
            Headers::ResetOn429,
            vec![],
            vec![("x-ratelimit-reset", "2")],
        ),
        (Headers::On429, vec![], [&ONE[..], &TOKENS].concat()),
        (
            Headers::Always,
            [&ONE[..], &TOKENS].concat(),
            [&ONE[..], &TOKENS].concat(),
        ),
        (
            Headers::Everything,
            [&ONE[..], &TOKENS, &MORE].concat(),
            [&ONE[..], &TOKENS, &MORE].concat(),
        ),
    ] {
        let got = two(headers).await;
        let (left, told) = but_remaining_tokens(&got[0]);
        assert_eq!(told, good.iter().copied().collect(), "{headers:?}");
        // The prompt has 18 letters: 5 tokens. Settled to 11 only when the response is out.
        let expected = (!good.is_empty()).then_some(95);
        assert_eq!(left, expected, "{headers:?}");

        let (left, told) = but_remaining_tokens(&got[1]);
        let mut expected: BTreeMap<_, _> = rejected.iter().copied().collect();
        for name in ["x-ratelimit-remaining", "x-ratelimit-remaining-dynamic"] {
            expected.entry(name).and_modify(|left| *left = "0");
        }
        if rejected.len() > 1 {
            let others = [("retry-after", "2"), ("x-ratelimit", "true")];
            expected.extend(others);
            expected.insert("x-ratelimit-reset", "2");
            // Each of the two has used 11.
            assert_eq!(left, Some(78), "{headers:?}");
        }
        assert_eq!(told, expected, "{headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_names_what_was_too_many_and_all_the_limits() {
    let (_server, caller) = server(Headers::On429).await;
    let mut large = chat();
    large["max_tokens"] = 90.into();
    assert_eq!(caller.post(PATH, &large).await.status, 200);
    large["max_tokens"] = 95.into();
    let got = caller.post(PATH, &large).await;
    assert_eq!(got.error().1, "dynamic_token_limited");
    let says = "You have been rate limited. \
                Your rate limit is 30 queries and 600 tokens per minute.";
    assert_eq!(got.json()["error"]["message"], says);
    // 11 of 100 are gone, and 100 are wanted.
    assert_eq!(got.header("x-ratelimit-reset"), Some("2"));
    assert_eq!(got.header("retry-after"), Some("2"));

    assert_eq!(caller.post(PATH, &chat()).await.status, 200);
    let got = caller.post(PATH, &chat()).await;
    assert_eq!(got.error().1, "dynamic_request_limited");
}

#[tokio::test(start_paused = true)]
async fn the_type_can_also_stand_beside_the_error() {
    for top_level in [false, true] {
        let rules = Rules::none()
            .limit(Route::Chat, Limit::fixed(1, MINUTE))
            .tokens(Route::Completions, Limit::fixed(1, MINUTE));
        let builder = quick().rules(rules).top_level_error_type(top_level);
        let server = builder.start().await.unwrap();
        let caller = Caller::new(&server);
        let prompt = json!({"model": "m", "prompt": "Hello"});
        for (path, body, kind) in [
            (PATH, chat(), "dynamic_request_limited"),
            ("/v1/completions", prompt, "dynamic_token_limited"),
        ] {
            assert_eq!(caller.post(path, &body).await.status, 200);
            let got = caller.post(path, &body).await;
            assert_eq!(got.error().1, kind);
            let on_top = if top_level { kind.into() } else { Value::Null };
            assert_eq!(got.json()["error_type"], on_top);
        }
        // Only rejections.
        let got = caller.post(PATH, &json!({})).await;
        assert_eq!(got.json()["error_type"], Value::Null);
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_are_settled_when_the_response_is_out_however_it_ends() {
    // 200 at once, and none more for a thousand hours.
    let rules = Rules::none().tokens(Route::Chat, Limit::gcra(1, 1_000 * HOUR, 200));
    for end in ["json", "stream", "dropped stream", "dropped before"] {
        let builder = quick().rules(rules.clone()).headers(Headers::Always);
        let latency = match end {
            "dropped before" => HOUR,
            _ => Duration::ZERO,
        };
        let builder = builder.latency(latency..=latency).chunk_delay(HOUR);
        let server = builder.start().await.unwrap();
        let caller = Caller::http2(&server);
        let mut large = chat();
        large["max_tokens"] = 190.into();
        large["stream"] = end.contains("stream").into();
        match end {
            "dropped stream" => drop(caller.chat_with(large.to_string()).await.unwrap()),
            "dropped before" => {
                let (caller, body) = (caller.clone(), large.to_string());
                let call = tokio::spawn(async move { caller.chat_with(body).await });
                until("it has arrived", || server.stats().arrived == 1).await;
                call.abort();
            }
            _ => {
                let got = caller.post(PATH, &large).await;
                // 195 were charged.
                assert_eq!(got.header("x-ratelimit-remaining-tokens"), Some("5"));
            }
        }
        // 11 were used: 189 remain, and this wants them all. A rejection takes none.
        large["max_tokens"] = 184.into();
        let mut got = caller.post(PATH, &large).await;
        // The server has yet to notice that the caller went away.
        let since = Instant::now();
        while end.starts_with("dropped") && got.status == 429 {
            assert!(since.elapsed() < PATIENCE, "{end}: never settled");
            sleep(Duration::from_millis(5)).await;
            got = caller.post(PATH, &large).await;
        }
        let left = got.header("x-ratelimit-remaining-tokens");
        assert_eq!((got.status.as_u16(), left), (200, Some("0")), "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn embeddings_report_no_tokens_and_pay_what_they_were_charged() {
    let rules = Rules::none().tokens(Route::Embeddings, Limit::gcra(1, MINUTE, 100));
    let builder = quick().rules(rules).headers(Headers::Always);
    let server = builder.start().await.unwrap();
    let caller = Caller::new(&server);
    // Bytes are counted: each of these letters has two.
    let body = json!({"model": "m", "input": ["é".repeat(20), "a".repeat(40)]});
    for left in ["80", "60"] {
        let got = caller.post("/v1/embeddings", &body).await;
        assert_eq!(got.header("x-ratelimit-remaining-tokens"), Some(left));
        assert_eq!(got.json()["usage"], Value::Null);
    }
}

#[tokio::test]
async fn a_moving_server_tells_of_its_limit_on_every_response() {
    let server = quick().moving().start().await.unwrap();
    let caller = Caller::new(&server);
    let got = caller.post("/v1/embeddings", &common::embedding()).await;
    assert_eq!(got.status, 200);
    assert_eq!(got.header("x-ratelimit-limit"), Some("5"));
    assert_eq!(got.header("x-ratelimit-remaining"), Some("4"));
    let whole = server.allowed(Route::Embeddings, Duration::ZERO, 3 * MINUTE);
    assert_eq!(whole, Some(1_050.0));
}

#[tokio::test(start_paused = true)]
async fn the_rate_that_is_told_is_the_one_in_force() {
    let limit = Limit::gcra(300, MINUTE, 5).then(MINUTE, 90);
    let rules = Rules::none().limit(Route::Chat, limit);
    let builder = quick().rules(rules).headers(Headers::Always);
    let server = builder.start().await.unwrap();
    let caller = Caller::new(&server);
    let moment = Duration::from_millis(1);
    for (wait, rate) in [(MINUTE - moment, "5"), (moment, "1.5")] {
        advance(wait).await;
        let got = caller.post(PATH, &chat()).await;
        assert_eq!(got.header("x-ratelimit-limit"), Some(rate));
    }
}
