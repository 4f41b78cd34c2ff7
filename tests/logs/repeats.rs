//! Lines above DEBUG are for changes of state: many requests that fail in one way are one line.

use std::time::Duration;

use futures::future::join_all;
use testing::{
    exact,
    script::{Reply, Script, status},
};
use tokio::time::sleep;
use tower::{ServiceExt, util::BoxCloneService};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, TogetherFallbackLayer, TogetherLayer, TogetherRateLimitLayer,
};
use tracing::Level;

use crate::{
    CHAT, FINE_TUNES,
    log::Log,
    post,
    redis::{self, loading, one_instant},
    send,
};

/// The lines that an operator sees.
fn shown(log: &Log) -> Vec<String> {
    let mut lines = log.lines();
    lines.retain(|line| line.level <= Level::INFO);
    lines.iter().map(ToString::to_string).collect()
}

/// 28 of 39 requests were rejected in one pause, and 28 identical lines reported it.
#[tokio::test(start_paused = true)]
async fn a_pause_is_one_line_however_many_429s_it_has() {
    let (log, _guard) = Log::heard();
    let limiter = Limiter::new(Limits::none());
    let layer = TogetherLayer::from(limiter).with_retry(exact());
    let later = status(429).header("retry-after", 10);
    let script = Script::new(vec![later; 28]);
    let slow = script.client().map_future(async |response| {
        sleep(Duration::from_millis(100)).await;
        response.await
    });
    let slow = BoxCloneService::new(slow);
    join_all((0..39).map(|_| send(&layer, slow.clone(), post(CHAT)))).await;
    assert_eq!(script.sent().len(), 39 + 28);
    assert_eq!(log.of("request retried"), 28);
    let pauses = log.with("lane paused");
    assert_eq!(pauses.len(), 1, "{pauses:?}");
    assert_eq!(pauses[0].field("wait_ms"), Some("10000"));
    assert_eq!(pauses[0].field("model"), Some("m"));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_one_line_for_each_reason_and_the_next_one_is_another() {
    let (log, _guard) = Log::heard();
    let layer = exact().with_max_retries(1);
    let outage = async || {
        for reply in [Reply::Refused, status(503)] {
            let script = Script::new(vec![reply; 200]);
            join_all((0..100).map(|_| send(&layer, script.client(), post(CHAT)))).await;
        }
    };
    outage().await;
    assert_eq!(shown(&log).len(), 1, "{:#?}", shown(&log));
    assert_eq!(log.of("request not retried"), 200);
    sleep(Duration::from_secs(120)).await;
    outage().await;
    assert_eq!(shown(&log).len(), 2, "{:#?}", shown(&log));
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_rejected_are_one_line() {
    let (log, _guard) = Log::heard();
    let limits = Limits::none().requests(Endpoint::ChatCompletions, Quota::per_minute(1).unwrap());
    let limiter = Limiter::new(limits).with_max_wait(Duration::ZERO);
    let layer = TogetherRateLimitLayer::from(limiter);
    let script = Script::new([]);
    join_all((0..50).map(|_| send(&layer, script.client(), post(CHAT)))).await;
    assert_eq!(log.of("request rejected"), 49);
    assert_eq!(shown(&log).len(), 1, "{:#?}", shown(&log));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_passed_over_is_one_line() {
    let (log, _guard) = Log::heard();
    let layer = TogetherFallbackLayer::new().with_chain("m", ["other"]);
    let script = Script::new((0..100).map(|n| status(if n % 2 == 0 { 503 } else { 200 })));
    for _ in 0..50 {
        send(&layer, script.client(), post(CHAT)).await;
    }
    assert_eq!(log.of("request sent to the next model"), 50);
    assert_eq!(shown(&log).len(), 1, "{:#?}", shown(&log));
}

#[tokio::test(start_paused = true)]
async fn a_learned_pace_is_a_line_when_it_changes_by_much() {
    let (log, _guard) = Log::heard();
    let layer = TogetherRateLimitLayer::default();
    for per_second in [10, 10, 11, 20, 20, 19, 5, 5] {
        let limit = status(200).header("x-ratelimit-limit", per_second);
        let script = Script::new(vec![limit; 10]);
        for _ in 0..10 {
            send(&layer, script.client(), post(CHAT)).await;
        }
    }
    let lines = log.with("lane pace changed");
    let paces = lines.iter().map(|line| {
        let pace: f64 = line.field("per_second").unwrap().parse().unwrap();
        pace.round()
    });
    assert_eq!(paces.collect::<Vec<_>>(), [10.0, 20.0, 5.0]);
    assert!(
        lines
            .iter()
            .all(|line| line.field("unit") == Some("requests"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_line_of_creates_that_wait_for_jobs_is_one_line() {
    let (log, _guard) = Log::heard();
    let layer = TogetherRateLimitLayer::default();
    let created = |id: usize| status(200).body(format!(r#"{{"id":"ft-{id}","status":"running"}}"#));
    let script = Script::new((0..20).map(created));
    let creates = join_all((0..20).map(|_| send(&layer, script.client(), post(FINE_TUNES))));
    let ends = async {
        for id in 0..20 {
            sleep(Duration::from_secs(3_600)).await;
            layer.limiter().job_ended(&format!("ft-{id}"));
        }
    };
    tokio::join!(creates, ends);
    assert_eq!(script.sent().len(), 20);
    assert_eq!(
        log.of("lane waits for a job to end"),
        1,
        "{:#?}",
        shown(&log)
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_redis_is_one_line_and_so_is_its_end() {
    let (log, _guard) = Log::heard();
    let replies: [fn() -> String; 4] = [loading, loading, one_instant, one_instant];
    redis::shared(Duration::ZERO, replies).await;
    let away = log.with("Redis is away");
    let reasons: Vec<_> = away.iter().map(|line| line.field("reason")).collect();
    assert_eq!(
        reasons,
        [Some("Redis is loading its data")],
        "{}",
        log.text()
    );
    let back = log.with("Redis is back");
    let processes: Vec<_> = back.iter().map(|line| line.field("processes")).collect();
    assert_eq!(processes, [Some("2")], "{}", log.text());
    assert_eq!(log.of("are not shared"), 1, "{}", log.text());
}

/// A process that had nothing to send for 300 ms during an outage never called Redis again.
#[tokio::test(start_paused = true)]
async fn the_end_of_an_outage_of_redis_is_a_line_after_a_quiet_time_too() {
    let (log, _guard) = Log::heard();
    let mut replies: Vec<fn() -> String> = vec![loading; 5];
    replies.push(one_instant);
    redis::shared(Duration::from_millis(500), replies).await;
    assert_eq!(log.of("Redis is away"), 1, "{}", log.text());
    assert_eq!(log.of("Redis is back"), 1, "{}", log.text());
}
