//! The numbers that the gateway shows are correct.

use std::collections::HashSet;

use http::StatusCode;
use serde_json::{Value, json};
use together_standin::Answer;
use tokio::task::JoinSet;

use crate::{
    api::Api,
    process::Gateway,
    program::{Program, chat, embed},
    stand_in,
};
use testing::until;

/// Settings that leave the embeddings lane unchanged for a minute.
const SLOW: [&str; 4] = ["--limit", "embeddings=1", "--max-wait", "600"];

/// A gateway with a bit of everything: one chat lane that flows, and one embeddings lane in which one was sent, three
/// wait and one was rejected.
async fn busy(gateway: &Gateway) -> JoinSet<()> {
    let program = Program::new("tom");
    for _ in 0..3 {
        let response = program.send(gateway.post(chat("a \"model\"\n<b>"))).await;
        assert_eq!(response.status, StatusCode::OK);
    }
    let embeddings = || gateway.post_to("/v1/embeddings", embed("e"));
    assert_eq!(program.send(embeddings()).await.status, StatusCode::OK);
    let mut waiting = JoinSet::new();
    for _ in 0..3 {
        let (program, request) = (program.clone(), embeddings());
        waiting.spawn(async move {
            program.send(request).await;
        });
    }
    until("three wait", || async {
        gateway.lanes().await.waiting() == 3
    })
    .await;
    let mut hurried = embeddings();
    hurried
        .headers_mut()
        .insert("x-stainless-timeout", 1.into());
    let rejected = program.send(hurried).await;
    assert_eq!(rejected.status, StatusCode::TOO_MANY_REQUESTS);
    quiet_but_for_three(gateway).await;
    waiting
}

/// Waits until the calls with a response have also ended for the gateway.
async fn quiet_but_for_three(gateway: &Gateway) {
    until("three calls are left", async || {
        gateway.lanes().await["open"]["calls"] == 3
    })
    .await;
}

#[tokio::test]
async fn lanes_tell_what_happens() {
    let server = stand_in().await;
    let rejection = Answer::status(429).header("retry-after", 1);
    server.script("POST", "/completions", rejection);
    let flags = [&SLOW[..], &["--max-streams", "7"]].concat();
    let gateway = Gateway::before(&server.url(), &flags).await;
    let prompt = json!({"model": "p", "prompt": "a"}).to_string();
    let completion = gateway.post_to("/v1/completions", prompt);
    let response = Program::new("tom").send(completion).await;
    assert_eq!(response.status, StatusCode::OK);
    let waiting = busy(&gateway).await;
    let model = Some("a \"model\"\n<b>");
    let limits = json!([
        {"counts": "requests", "max": 600, "per": 60.0, "left": 597, "shared": false, "learned": false},
        {"counts": "requests", "max": 600, "per": 60.0, "left": 596, "shared": true, "learned": false},
        {"counts": "in-flight", "max": 7, "per": null, "left": 7, "shared": false, "learned": false},
    ]);
    // Three left here, and four from the lanes that share a limit: one that was throttled has learned its own.
    until("all have left", async || {
        gateway.lanes().await.of("chat-completions", model)["limits"] == limits
    })
    .await;
    // A point of it all is there.
    until("a point was taken", || async {
        let lanes = gateway.lanes().await;
        lanes.of("embeddings", Some("e"))["history"]["refused"]
            .as_array()
            .is_some_and(|rejected| rejected.iter().any(|n| *n == 1))
    })
    .await;

    let lanes = gateway.lanes().await;
    assert_eq!(lanes["upstream"], server.url());
    assert_eq!(lanes["open"]["callers"], 1);
    assert_eq!(lanes["open"]["calls"], 3);
    assert_eq!(
        (&lanes["refused"], &lanes["throttled"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(lanes.of("chat-completions", model)["admitted"], 3);

    let embeddings = lanes.of("embeddings", Some("e"));
    assert_eq!(embeddings["limits"][0]["max"], 1);
    assert_eq!(embeddings["admitted"], 1);
    assert_eq!(embeddings["waiting"], 3);
    let next_in = embeddings["next_in"].as_f64().unwrap();
    assert!((0.0..=60.2).contains(&next_in), "{embeddings}");
    let sum = |points: &[u64]| points.iter().sum::<u64>();
    let [sent, rejected, waited] = points(embeddings, ["sent", "refused", "waiting"]);
    assert_eq!(
        (sum(&sent), sum(&rejected), waited.last()),
        (1, 1, Some(&3))
    );

    // The second attempt waited for the end of the pause.
    let paused = lanes.of("completions", Some("p"));
    assert_eq!(paused["admitted"], 2);
    assert_eq!(paused["throttled"], 1);
    let [sent, throttled, waits] = points(paused, ["sent", "throttled", "wait_ms"]);
    assert_eq!((sum(&sent), sum(&throttled)), (2, 1));
    let waits = sent.iter().zip(&waits).map(|(sent, mean)| sent * mean);
    let waited = waits.sum::<u64>() as f64;
    // Rounded down to milliseconds, for each that was sent.
    let exact = 2_000.0 * paused["mean_wait"].as_f64().unwrap();
    assert!(waited > 0.0 && (exact - waited).abs() <= 2.0, "{paused}");

    let since = lanes["tick"].as_u64().unwrap();
    let response = Program::new("")
        .send(gateway.get(&format!("/lanes?since={since}")))
        .await;
    let newer = response.json();
    let points = newer["lanes"][0]["history"]["sent"]
        .as_array()
        .unwrap()
        .len() as u64;
    assert_eq!(points, newer["tick"].as_u64().unwrap() - since);
    drop(waiting);
}

/// The points in a lane's history, for each of `kinds`.
fn points<const N: usize>(lane: &Value, kinds: [&str; N]) -> [Vec<u64>; N] {
    let number = |point: &Value| point.as_u64().unwrap();
    kinds.map(|kind| {
        let points = lane["history"][kind].as_array().unwrap();
        points.iter().map(number).collect()
    })
}

#[tokio::test]
async fn metrics_can_be_read_and_are_bounded() {
    let server = stand_in().await;
    let gateway = Gateway::before(&server.url(), &SLOW).await;
    let waiting = busy(&gateway).await;
    for n in 0..80 {
        let mut request = gateway.post(chat(&format!("model-{n}")));
        // Only their number matters, not their success.
        request
            .headers_mut()
            .insert("x-stainless-timeout", "0.001".parse().unwrap());
        Program::new("tom").send(request).await;
    }
    quiet_but_for_three(&gateway).await;
    let response = Program::new("").send(gateway.get("/metrics")).await;
    let lines = response.text();
    let mut series = HashSet::new();
    for line in lines.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(name.starts_with("together_gateway_"), "{line}");
        assert!(series.insert(name), "twice: {line}");
    }
    let embeddings = r#"endpoint="embeddings",model="e",others="false""#;
    let chat = r#"endpoint="chat-completions",model="a \"model\"\n<b>",others="false""#;
    for line in [
        format!("together_gateway_requests_total{{{embeddings}}} 1"),
        format!("together_gateway_requests_total{{{chat}}} 3"),
        format!("together_gateway_refused_total{{{embeddings}}} 1"),
        format!("together_gateway_throttled_total{{{embeddings}}} 0"),
        format!("together_gateway_waiting{{{embeddings}}} 3"),
        format!("together_gateway_wait_seconds_count{{{chat}}} 3"),
        format!("together_gateway_wait_seconds_bucket{{le=\"+Inf\",{chat}}} 3"),
        format!(
            "together_gateway_limit{{{embeddings},counts=\"requests\",window_seconds=\"60\"}} 1"
        ),
        format!(
            "together_gateway_limit_left{{{chat},counts=\"in-flight\",window_seconds=\"0\"}} 512"
        ),
        "together_gateway_calls 3".to_owned(),
        "together_gateway_callers 1".to_owned(),
    ] {
        assert!(lines.contains(&format!("\n{line}\n")), "{line} in\n{lines}");
    }
    let models = lines
        .lines()
        .filter(|line| line.starts_with("together_gateway_waiting{"));
    let models: Vec<_> = models.collect();
    assert_eq!(
        models.len(),
        65,
        "64 lanes, and one for all others: {models:?}"
    );
    let others = r#"{endpoint="chat-completions",model="",others="true"}"#;
    assert!(lines.contains(others), "{lines}");
    drop(waiting);
}

/// Thirty cards said "18 of 600" while the shared 600 were full.
#[tokio::test]
async fn a_shared_limit_is_one_and_counts_what_all_of_its_lanes_send() {
    let server = stand_in().await;
    let flags = [
        "--limit",
        "chat-completions=60000",
        "--limit",
        "completions=60000",
    ];
    let flags = [&flags[..], &["--limit", "embeddings=60000"]].concat();
    for (flags, max) in [(&flags[..], 60_000), (&[][..], 600)] {
        let gateway = Gateway::before(&server.url(), flags).await;
        for n in 0..6 {
            let model = format!("model-{n}");
            let response = Program::new("tom").send(gateway.post(chat(&model))).await;
            assert_eq!(response.status, StatusCode::OK);
        }
        let lanes = gateway.lanes().await;
        let requests = lanes["shared"].as_array().unwrap().iter();
        let requests: Vec<_> = requests.filter(|one| one["counts"] == "requests").collect();
        let [shared] = requests[..] else {
            panic!("{requests:?}")
        };
        assert_eq!(
            (&shared["max"], &shared["left"]),
            (&json!(max), &json!(max - 6))
        );
        assert_eq!(shared["of"], json!([0, 1, 2, 3, 4, 5]));
    }
}

#[tokio::test]
async fn the_limit_in_force_is_told_over_time() {
    let server = stand_in().await;
    let gateway = Gateway::before(&server.url(), &[]).await;
    let tom = Program::new("tom");
    let limits = async || {
        let lanes = gateway.lanes().await;
        let [limit] = points(lanes.of("chat-completions", Some("m")), ["limit"]);
        limit
    };
    assert_eq!(tom.send(gateway.post(chat("m"))).await.status, 200);
    until("a point was taken", async || {
        limits().await.last() == Some(&600)
    })
    .await;
    let rejection = Answer::status(429).header("retry-after", 1);
    server.script("POST", "/chat/completions", rejection);
    assert_eq!(tom.send(gateway.post(chat("m"))).await.status, 200);
    until("a lower limit was learned", async || {
        let limits = limits().await;
        limits.contains(&600) && limits.last().is_some_and(|last| *last < 600)
    })
    .await;
}

#[tokio::test]
async fn the_page_is_one_file_that_loads_nothing_from_elsewhere() {
    let server = Api::start().await;
    let gateway = Gateway::before(&server.url(), &[]).await;
    let page = Program::new("").send(gateway.get("/")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let text = page.text();
    for part in [
        "src=",
        "@import",
        "url(",
        "//cdn",
        "innerHTML",
        "style=",
        "onclick",
    ] {
        assert!(!text.contains(part), "{part}");
    }
    assert!(text.contains("failing(report.outage)"));
    // "Under way" counts calls that have left: `calls` includes those that wait.
    assert!(text.contains("report.open.calls - report.waiting"));
    // The only address in it names the language of its icon.
    let addresses: Vec<_> = text
        .match_indices("http")
        .map(|(at, _)| &text[at..at + 26])
        .collect();
    assert_eq!(addresses, ["http://www.w3.org/2000/svg"]);

    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'nonce-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"));
    let nonce = policy
        .split("'nonce-")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    assert_eq!(text.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    let again = Program::new("").send(gateway.get("/")).await;
    assert!(!again.text().contains(nonce));
    assert!(server.arrived().is_empty());
}
