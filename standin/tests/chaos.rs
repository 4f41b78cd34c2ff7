//! Chaos: what fails, how, and how often.

mod common;

use std::{collections::BTreeMap, time::Duration};

use common::{Caller, HOUR, chat, connect, gone, quick, read, reason, until};
use h2::Reason;
use httpdate::parse_http_date;
use serde_json::{Value, json};
use together_standin::{Answer, Limit, Route, Rules, StandIn};
use tokio::{select, time::sleep};

/// The result of one request, as its client sees it.
#[derive(Debug)]
enum Seen {
    Response(u16, BTreeMap<String, String>, String),
    Broken(Option<Reason>),
    Nothing,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        match self {
            Self::Response(_, headers, _) => headers.get(name).map_or("", String::as_str),
            _ => panic!("{self:?} has no headers"),
        }
    }
}

/// Sends one request and waits for the worst to pass. Says which fault happened, if one did.
async fn send(server: &StandIn, caller: &Caller) -> (Option<&'static str>, Seen) {
    let before = server.faults();
    let hang = async {
        until("a hang", || server.faults()["hang"] > before["hang"]).await;
        sleep(Duration::from_millis(20)).await;
    };
    let seen = select! {
        asked = caller.chat() => match asked {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let header = |(name, value): (&_, &http::HeaderValue)| {
                    (format!("{name}"), value.to_str().unwrap().to_owned())
                };
                let headers = head.headers.iter().map(header).collect();
                let (body, broke) = read(body).await;
                assert!(!broke);
                Seen::Response(head.status.as_u16(), headers, String::from_utf8(body).unwrap())
            }
            Err(error) => Seen::Broken(reason(&error)),
        },
        () = hang => Seen::Nothing,
    };
    let after = server.faults().into_iter();
    let mut happened = after.filter(|(name, times)| *times > before[name]);
    let fault = happened.next().map(|(name, _)| name);
    assert_eq!(happened.next(), None, "one at a time");
    match fault {
        Some("outage") => {
            let url = server.url();
            until("it is back", || connect(&url).is_ok()).await;
        }
        Some("go-away") => gone(server, caller).await,
        _ => {}
    }
    (fault, seen)
}

/// Asserts that a fault is the one that its name says.
fn check(fault: &str, seen: &Seen, http2: bool) {
    let Seen::Response(status, headers, body) = seen else {
        let expected = match fault {
            "hang" => return assert!(matches!(seen, Seen::Nothing)),
            "outage" => None,
            "reset" => Some(Reason::INTERNAL_ERROR),
            "refused-stream" | "go-away" => Some(Reason::REFUSED_STREAM),
            _ => panic!("{fault} has a response: {seen:?}"),
        };
        let expected = expected.filter(|_| http2);
        return assert!(
            matches!(seen, Seen::Broken(reason) if *reason == expected),
            "{fault}"
        );
    };
    let named: u16 = fault[..3].parse().expect("a name begins with its status");
    assert_eq!(*status, named, "{fault}");
    assert!(headers.contains_key("x-request-id"));
    match fault {
        "429-html" | "502-html" | "520" | "524" => {
            assert!(seen.header("content-type").starts_with("text/html"));
            assert!(body.starts_with("<!DOCTYPE html>"));
        }
        _ => assert_shape(&serde_json::from_str(body).unwrap()),
    }
    let hints = [
        "retry-after",
        "retry-after-ms",
        "x-ratelimit-reset",
        "x-should-retry",
    ];
    let hints: Vec<_> = hints
        .into_iter()
        .filter(|name| headers.contains_key(*name))
        .collect();
    let hint = |name| {
        assert_eq!(hints, [name], "{fault}");
        seen.header(name)
    };
    match fault {
        "429-retry-after" | "429-html" | "503-retry-after" => assert_eq!(hint("retry-after"), "1"),
        "429-retry-after-decimal" => assert_eq!(hint("retry-after"), "0.5"),
        "429-retry-after-ms" => assert_eq!(hint("retry-after-ms"), "300"),
        "429-reset-only" => assert_eq!(hint("x-ratelimit-reset"), "1"),
        "400-should-retry" => assert_eq!(hint("x-should-retry"), "true"),
        "429-imf-fixdate" | "429-rfc850-date" | "429-asctime-date" => {
            let after = hint("retry-after");
            let form = (after.contains('-'), after.ends_with(" GMT"));
            let expected = [
                ("imf", (false, true)),
                ("rfc", (true, true)),
                ("asc", (false, false)),
            ];
            assert!(expected.contains(&(&fault[4..7], form)), "{fault}: {after}");
            let [after, date] =
                [after, seen.header("date")].map(|date| parse_http_date(date).unwrap());
            assert_eq!(after.duration_since(date).unwrap(), Duration::from_secs(2));
        }
        _ => assert!(hints.is_empty(), "{fault}: {hints:?}"),
    }
}

/// One of the API's three.
fn assert_shape(body: &Value) {
    let error = match &body["error"] {
        Value::String(message) => return assert!(!message.is_empty()),
        Value::Null => body,
        error => error,
    };
    let names: Vec<_> = error.as_object().unwrap().keys().collect();
    assert_eq!(names, ["code", "message", "param", "type"]);
}

/// The faults of 250 requests, in order, each of them checked.
async fn trace(seed: u64, http2: bool) -> Vec<Option<&'static str>> {
    let builder = quick().rules(Rules::none()).chaos(seed);
    let server = builder.start().await.unwrap();
    let caller = if http2 {
        Caller::http2(&server)
    } else {
        Caller::new(&server)
    };
    let mut trace = Vec::new();
    for _ in 0..250 {
        let (fault, seen) = send(&server, &caller).await;
        match fault {
            Some(fault) => check(fault, &seen, http2),
            None => assert!(matches!(seen, Seen::Response(200, ..)), "{seen:?}"),
        }
        trace.push(fault);
    }
    let happened = server.faults();
    assert!(
        happened.len() == 24 && happened.values().all(|times| *times > 0),
        "{happened:?}"
    );
    let failed = trace.iter().flatten().count() as u64;
    assert_eq!(failed, happened.values().sum::<u64>());
    assert!(failed <= 250 / 8, "{failed}");

    let stats = caller.get("/standin/stats").await.json();
    assert_eq!(stats["faults"], json!(happened));
    assert_eq!(stats["arrived"], 250);
    assert_eq!(stats["accepted"], 250 - failed);
    trace
}

#[tokio::test]
async fn every_fault_happens_and_is_what_its_name_says_and_the_seed_decides() {
    let (one, two, other) = tokio::join!(trace(1, false), trace(1, true), trace(2, true));
    assert_eq!(one, two);
    assert_ne!(one, other);
}

#[tokio::test]
async fn faults_consume_nothing_and_rejections_draw_none() {
    let rules = Rules::none().limit(Route::Chat, Limit::fixed(60, HOUR));
    let server = quick().rules(rules).chaos(3).start().await.unwrap();
    let caller = Caller::new(&server);
    let (mut passed, mut failed) = (0, 0);
    while passed < 60 {
        match send(&server, &caller).await {
            (Some(_), _) => failed += 1,
            (None, seen) => {
                assert!(matches!(seen, Seen::Response(200, ..)), "{seen:?}");
                passed += 1;
            }
        }
    }
    assert!(failed > 0);
    for _ in 0..40 {
        let (fault, seen) = send(&server, &caller).await;
        assert!(
            fault.is_none() && matches!(seen, Seen::Response(429, ..)),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn what_is_scripted_or_invalid_or_about_the_server_is_left_alone() {
    let server = quick().rules(Rules::none()).chaos(4).start().await.unwrap();
    let caller = Caller::http2(&server);
    server.script("POST", "/completions", Answer::status(201).times(100));
    for _ in 0..100 {
        assert_eq!(caller.post("/completions", &chat()).await.status, 201);
        assert_eq!(caller.post("/embeddings", &chat()).await.status, 400);
        assert_eq!(caller.get("/standin/arrivals").await.status, 200);
    }
    assert_eq!(server.faults().values().sum::<u64>(), 0);
}

#[tokio::test]
async fn without_chaos_there_are_no_faults() {
    let server = quick().start().await.unwrap();
    assert!(server.faults().is_empty());
    let stats = Caller::new(&server).get("/standin/stats").await.json();
    assert!(!stats.as_object().unwrap().contains_key("faults"));
}
