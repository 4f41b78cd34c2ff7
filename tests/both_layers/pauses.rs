//! A pause stops a lane, and the rejected request waits in it.

use std::time::Duration;

use testing::script::{Script, status};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};
use tower_together::{
    ApiError, Endpoint, Limiter, Limits, Rejected, TogetherLayer, TogetherRetryLayer,
    extension::{Retries, RetryReport, Waited},
    retry::Budget,
};

use crate::{CHAT, FINE_TUNES, both, exact, per_minute, post};

#[tokio::test(start_paused = true)]
async fn what_was_rejected_waits_in_its_lane_and_goes_first() {
    let script = Script::new([status(429).header("retry-after", 7)]);
    let layer = both(per_minute(600));
    let service = layer.layer(script.client());
    let first = tokio::spawn(service.clone().oneshot(post(CHAT)));
    tokio::task::yield_now().await;
    // They arrive while the lane is paused, and wait behind it.
    let others: Vec<_> = (0..2)
        .map(|_| tokio::spawn(service.clone().oneshot(post(CHAT))))
        .collect();
    let response = first.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let report = response.extensions().get::<RetryReport>().unwrap();
    // It waited only in its lane.
    assert_eq!(report.waited(), Duration::ZERO);
    let waited = response.extensions().get::<Waited>().unwrap().duration();
    assert_eq!(waited.as_millis(), 7_000);
    for other in others {
        other.await.unwrap().unwrap();
    }
    let attempts: Vec<_> = script.sent().iter().map(|sent| sent.attempt).collect();
    assert_eq!(attempts, [0, 2, 0, 0]);
    let millis = script.millis();
    assert_eq!(millis[..2], [0, 7_000]);
    // One by one, and at half the pace at first.
    assert!(
        millis[2] >= 7_200 && millis[3] >= millis[2] + 195,
        "{millis:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_429_without_a_hint_pauses_the_lane_for_1_s_and_doubles() {
    let script = Script::new(vec![status(429); 7]);
    let mut patient = post(CHAT);
    patient.extensions_mut().insert(Retries::unlimited());
    both(per_minute(600))
        .layer(script.client())
        .oneshot(patient)
        .await
        .unwrap();
    let seconds: Vec<_> = script.millis().iter().map(|at| at / 1_000).collect();
    assert_eq!(seconds, [0, 1, 3, 7, 15, 31, 61, 91]);
}

/// Cloudflare's 1015 and 522 state the wait in JSON alone: attempts at 1, 3, 7 and 15 s were in vain.
#[tokio::test(start_paused = true)]
async fn a_wait_in_the_json_of_an_error_is_obeyed_by_both_layers() {
    let json = r#"{"title":"Error 1015: You are being rate limited","retry_after":30}"#;
    for code in [429, 503] {
        for head in [None, Some(0)] {
            let reply = || match head {
                None => status(code).body(json),
                Some(head) => status(code).body(json).header("retry-after", head),
            };
            let script = Script::new([reply()]);
            let layer = both(per_minute(600));
            let service = layer.layer(script.client());
            service.oneshot(post(CHAT)).await.unwrap();
            assert_eq!(script.millis(), [0, 30_000], "{code} {head:?}");

            let script = Script::new([reply()]);
            let service = exact().layer(script.client());
            service.oneshot(post(CHAT)).await.unwrap();
            assert_eq!(script.millis(), [0, 30_000], "{code} {head:?}");
        }
    }
    // The wait exceeds the bound, so the request does not wait.
    let script = Script::new([status(503).body(r#"{"retry_after":1200}"#)]);
    let response = exact().layer(script.client()).oneshot(post(CHAT)).await;
    assert_eq!(response.unwrap().status(), 503);
    assert_eq!(script.millis(), [0]);
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_server_that_says_for_how_long_pauses_the_lane_and_lowers_no_rate() {
    let script = Script::new([status(503).header("retry-after", 20)]);
    let layer = both(per_minute(600));
    let service = layer.layer(script.client());
    service.clone().oneshot(post(CHAT)).await.unwrap();
    assert_eq!(script.millis(), [0, 20_000]);
    let snapshot = layer.limiter().snapshot();
    assert_eq!((snapshot.admitted, snapshot.throttled_count), (2, 0));
    assert_eq!(snapshot.lanes[0].limits[0].max, 600);

    // Without a wait only that request backs off; others pass.
    let script = Script::new([status(503)]);
    let service = both(per_minute(60_000)).layer(script.client());
    fastrand::seed(5);
    let failed = tokio::spawn(service.clone().oneshot(post(CHAT)));
    sleep(Duration::from_millis(10)).await;
    service.oneshot(post(CHAT)).await.unwrap();
    assert_eq!(script.millis(), [0, 10]);
    failed.await.unwrap().unwrap();
    assert_eq!(script.sent().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn other_lanes_and_other_keys_are_not_paused() {
    let layer = both(Limits::none());
    let script = Script::new([status(429).header("retry-after", 60)]);
    let service = layer.layer(script.client());
    let rejected = tokio::spawn(service.clone().oneshot(post(CHAT)));
    tokio::task::yield_now().await;
    let start = Instant::now();
    service
        .clone()
        .oneshot(post("/v1/embeddings"))
        .await
        .unwrap();
    let mut keyed = post(CHAT);
    keyed
        .headers_mut()
        .insert("authorization", "Bearer another".parse().unwrap());
    service.oneshot(keyed).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    let lanes = layer.limiter().snapshot().lanes;
    let paused: Vec<_> = lanes.iter().filter(|lane| lane.paused.is_some()).collect();
    assert_eq!(paused.len(), 1);
    assert_eq!(paused[0].endpoint, Endpoint::ChatCompletions);
    rejected.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn out_of_money_pauses_nobody() {
    let broke = status(429)
        .header("retry-after", 60)
        .body(r#"{"error":{"message":"m","type":"insufficient_quota"}}"#);
    let script = Script::new([broke]);
    let service = both(Limits::none()).layer(script.client());
    let response = service.clone().oneshot(post(CHAT)).await.unwrap();
    assert_eq!(response.status(), 429);
    let error = response.extensions().get::<ApiError>().unwrap();
    assert!(error.is_out_of_money());
    assert!(error.to_string().contains("billing"));
    service.oneshot(post(CHAT)).await.unwrap();
    assert_eq!(script.millis(), [0, 0]);
}

/// A request failed because its server asked for more than 2 minutes, and the requests behind it in its lane waited for
/// them.
#[tokio::test(start_paused = true)]
async fn a_rejected_request_waits_in_its_lane_as_long_as_those_behind_it() {
    for code in [429, 503] {
        for seconds in [121, 1_200, 3_600] {
            let script = Script::new([status(code).header("retry-after", seconds)]);
            let service = both(per_minute(60)).layer(script.client());
            let (first, second) = tokio::join!(
                service.clone().oneshot(post(CHAT)),
                service.clone().oneshot(post(CHAT))
            );
            assert_eq!(first.unwrap().status(), 200);
            assert_eq!(second.unwrap().status(), 200);
            let sent: Vec<_> = script.sent().iter().map(|sent| sent.attempt).collect();
            assert_eq!(sent, [0, 2, 0]);
            assert_eq!(script.millis()[1], 1_000 * seconds);
        }
    }
    // The limiter's own bound is one for both too.
    let script = Script::new([status(429).header("retry-after", 1_200)]);
    let limiter = Limiter::new(per_minute(60)).with_max_wait(Duration::from_secs(60));
    let service = TogetherLayer::from(limiter)
        .with_retry(exact())
        .layer(script.client());
    let start = Instant::now();
    let (first, second) = tokio::join!(
        service.clone().oneshot(post(CHAT)),
        service.clone().oneshot(post(CHAT))
    );
    for rejected in [first.unwrap(), second.unwrap()] {
        assert!(rejected.extensions().get::<Rejected>().is_some());
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// A lane is paused for an hour at most, since an instant may be nonsense. The request that was told to wait
/// for two hours was sent after one.
#[tokio::test(start_paused = true)]
async fn a_request_is_never_sent_before_the_instant_that_it_was_told() {
    let hours = |hours: u64| Duration::from_secs(3_600 * hours);
    for (path, code) in [(CHAT, 429), (CHAT, 503), (FINE_TUNES, 429)] {
        for (most, retries) in [
            (Some(hours(3)), true),
            (Some(hours(1)), false),
            (None, false),
        ] {
            let script = Script::new([status(code).header("retry-after", 7_200)]);
            // The lane paces its waiting requests.
            let retry = exact().with_budget(Budget::new(0.0, 0));
            let retry = match most {
                Some(most) => retry.with_longest_hint(most),
                None => retry,
            };
            let layer = TogetherLayer::new(per_minute(60)).with_retry(retry);
            let service = layer.layer(script.client());
            let told = tokio::spawn(service.clone().oneshot(post(path)));
            sleep(Duration::from_millis(1)).await;
            let behind = tokio::spawn(service.oneshot(post(path)));
            let told = told.await.unwrap().unwrap().status().as_u16();
            assert_eq!(behind.await.unwrap().unwrap().status(), 200);
            let sent = script.sent().into_iter();
            let sent: Vec<_> = sent.map(|sent| (sent.attempt, sent.at.as_secs())).collect();
            let probed = [(0, 0), (0, 3_600)];
            assert_eq!(sent[..2], probed);
            assert_eq!(sent[2..], if retries { vec![(2, 7_200)] } else { vec![] });
            assert_eq!(told, if retries { 200 } else { code });
        }
    }
}

/// The limiter paces requests that wait in its lane, so the budget is for the others.
#[tokio::test(start_paused = true)]
async fn what_waits_in_its_lane_costs_no_budget() {
    let broke = TogetherRetryLayer::default().with_budget(Budget::new(0.0, 0));
    let layer = TogetherLayer::new(Limits::none()).with_retry(broke);
    let script = Script::new([status(429).header("retry-after", 1), status(500)]);
    let response = layer.layer(script.client()).oneshot(post(CHAT)).await;
    assert_eq!(response.unwrap().status(), 500);
    assert_eq!(script.millis(), [0, 1_000]);
}

/// A 429 costs no budget over a rate limit layer, whether it pauses its lane or is alone among many requests.
#[tokio::test(start_paused = true)]
async fn a_429_that_is_alone_is_retried_though_the_budget_is_spent() {
    for wait in [Some(1), None] {
        let mut replies = vec![status(200); 20];
        replies.push(match wait {
            Some(wait) => status(429).header("retry-after", wait),
            None => status(429),
        });
        let script = Script::new(replies);
        let retry = TogetherRetryLayer::default().with_budget(Budget::new(0.0, 0));
        let layer = TogetherLayer::new(per_minute(600)).with_retry(retry);
        let service = layer.layer(script.client());
        for _ in 0..20 {
            service.clone().oneshot(post(CHAT)).await.unwrap();
        }
        let rejected = service.clone().oneshot(post(CHAT));
        let (rejected, other) = tokio::join!(rejected, service.clone().oneshot(post(CHAT)));
        assert_eq!(rejected.unwrap().status(), 200, "{wait:?}");
        assert_eq!(other.unwrap().status(), 200);
        let millis = script.millis();
        // The other one does not wait for it.
        assert!(millis[21] < millis[20] + 200, "{millis:?}");
        assert!(millis[22] >= millis[20] + 1_000, "{millis:?}");
    }
}
