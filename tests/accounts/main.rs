//! Charges, refunds and learned limits: every charge is settled where it was made, and no server can close a lane for
//! good. In virtual time.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod settled;

use std::{
    convert::Infallible,
    future::ready,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, sleep, sleep_until};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_together::{
    Endpoint, Limiter, Limits, Quota, TogetherRateLimitLayer,
    extension::{ApiKey, Cost},
    limiter::{Call, Permit, Reason},
    rate_limit::ResponseBody,
};

const CHAT: Endpoint = Endpoint::ChatCompletions;
const MINUTE: Duration = Duration::from_secs(60);

fn tokens(max: u64) -> Limits {
    Limits::none().tokens(CHAT, Quota::per_minute(max).unwrap())
}

fn chat(tokens: u64) -> Call {
    Call::new(CHAT).with_tokens(tokens)
}

/// Sends such requests for `time`, and counts them.
async fn sent(limiter: &Limiter, call: &Call, time: Duration) -> usize {
    let end = Instant::now() + time;
    let mut sent = 0;
    while let Ok(permit) = limiter.acquire(call.clone().with_deadline_at(end)).await {
        drop(permit);
        sent += 1;
        assert!(sent < 1_000_000, "nothing limits them");
    }
    sleep_until(end).await;
    sent
}

async fn several(limiter: &Limiter, call: &Call, number: usize) -> Vec<Permit> {
    let mut permits = Vec::new();
    for _ in 0..number {
        permits.push(limiter.acquire(call.clone()).await.unwrap());
    }
    permits
}

/// 10,000 tokens were sent in a minute.
#[tokio::test(start_paused = true)]
async fn tokens_that_were_waited_for_are_not_given_back() {
    for learning in [false, true] {
        let limiter = Limiter::new(tokens(1_000)).adaptive(learning);
        let mut permits = several(&limiter, &chat(1_000), 10).await;
        sleep(MINUTE + Duration::from_secs(1)).await;
        let begun = Instant::now();
        let mut sent = 0;
        for permit in &mut permits {
            permit.settle(0);
            sent += u32::from(limiter.try_acquire(chat(1_000)).is_ok());
        }
        assert_eq!((sent, begun.elapsed()), (1, Duration::ZERO));
    }
}

/// Only the part of a charge that no request has waited for is given back.
#[tokio::test(start_paused = true)]
async fn tokens_that_nobody_has_waited_for_are_given_back() {
    let limiter = Limiter::new(tokens(1_000));
    let mut permit = limiter.acquire(chat(1_000)).await.unwrap();
    sleep(MINUTE / 4).await;
    permit.settle(500);
    let start = Instant::now();
    drop(limiter.acquire(chat(1)).await.unwrap());
    let waited = start.elapsed();
    assert!((15..16).contains(&waited.as_secs()), "{waited:?}");
    // A second settlement gives back nothing, and a higher cost is charged.
    permit.settle(0);
    drop(limiter.acquire(chat(1)).await.unwrap());
    permit.settle(1_000);
    let start = Instant::now();
    drop(limiter.acquire(chat(1)).await.unwrap());
    assert!(start.elapsed() >= MINUTE / 4, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn of_a_burst_all_that_is_given_back_may_be_sent() {
    let quota = Quota::per_minute(1_000).unwrap().with_burst(900).unwrap();
    let limiter = Limiter::new(Limits::none().tokens(CHAT, quota));
    let mut permits = several(&limiter, &chat(100), 9).await;
    permits.iter_mut().for_each(|permit| permit.settle(0));
    let start = Instant::now();
    let again = several(&limiter, &chat(100), 9).await;
    assert_eq!((again.len(), start.elapsed()), (9, Duration::ZERO));
}

/// A charge under one table was given back under the next, at its prices.
#[tokio::test(start_paused = true)]
async fn nothing_is_given_back_to_a_table_that_did_not_charge_it() {
    let limiter = Limiter::new(tokens(10_000));
    let mut permit = limiter.acquire(chat(10_000)).await.unwrap();
    sleep(MINUTE / 2).await;
    limiter.set_limits(tokens(1_000));
    permit.settle(5_000);
    // 5,000 are still owed, at 1,000 a minute.
    let sent = sent(&limiter, &chat(100), 4 * MINUTE).await;
    assert!(sent <= 1, "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_cost_that_proves_larger_is_charged_to_the_table_that_follows() {
    let limiter = Limiter::new(tokens(10_000));
    let mut permit = limiter.acquire(chat(100)).await.unwrap();
    limiter.set_limits(tokens(1_000));
    permit.settle(1_100);
    let start = Instant::now();
    drop(limiter.acquire(chat(100)).await.unwrap());
    assert!(start.elapsed() >= MINUTE, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_becomes_a_window_remembers_what_was_sent() {
    let limiter = Limiter::new(Limits::none().requests(CHAT, Quota::per_minute(60).unwrap()));
    let before = sent(&limiter, &Call::new(CHAT), MINUTE).await;
    let window = Quota::per_minute(60).unwrap().unpaced();
    limiter.set_limits(Limits::none().requests(CHAT, window));
    let after = sent(&limiter, &Call::new(CHAT), MINUTE / 2).await;
    assert!(before >= 59 && after <= 31, "{before}, {after}");
    // The debt does not last longer than a window.
    let later = sent(&limiter, &Call::new(CHAT), 2 * MINUTE).await;
    assert!((110..=121).contains(&later), "{later}");
}

#[tokio::test(start_paused = true)]
async fn a_window_that_becomes_paced_remembers_what_was_sent() {
    let window = Quota::per_minute(60).unwrap().unpaced();
    let limiter = Limiter::new(Limits::none().requests(CHAT, window));
    drop(several(&limiter, &Call::new(CHAT), 60).await);
    limiter.set_limits(Limits::none().requests(CHAT, Quota::per_minute(60).unwrap()));
    assert_eq!(sent(&limiter, &Call::new(CHAT), MINUTE).await, 0);
    assert_eq!(sent(&limiter, &Call::new(CHAT), MINUTE).await, 60);
}

/// A tenth of the quota from now on: what was sent was owed for ten minutes, though all of it has left every
/// window after one.
#[tokio::test(start_paused = true)]
async fn a_window_that_becomes_paced_at_less_is_paid_off_when_it_has_passed() {
    let window = Quota::per_minute(600).unwrap().unpaced();
    let limiter = Limiter::new(Limits::none().requests(CHAT, window));
    drop(several(&limiter, &Call::new(CHAT), 600).await);
    limiter.set_limits(Limits::none().requests(CHAT, Quota::per_minute(60).unwrap()));
    assert_eq!(sent(&limiter, &Call::new(CHAT), MINUTE).await, 0);
    assert_eq!(sent(&limiter, &Call::new(CHAT), MINUTE).await, 60);
}

/// 89 of 60 a minute were sent: what left at the pace before was no part of the burst.
#[tokio::test(start_paused = true)]
async fn a_burst_that_a_new_table_allows_does_not_come_on_top_of_what_was_sent() {
    let paced = Quota::per_minute(60).unwrap();
    let limiter = Limiter::new(Limits::none().requests(CHAT, paced));
    assert!(sent(&limiter, &Call::new(CHAT), MINUTE).await >= 59);
    limiter.set_limits(Limits::none().requests(CHAT, paced.with_burst(30).unwrap()));
    assert!(sent(&limiter, &Call::new(CHAT), Duration::from_secs(1)).await <= 1);
    sleep(2 * MINUTE).await;
    assert_eq!(
        sent(&limiter, &Call::new(CHAT), Duration::from_secs(1)).await,
        30
    );
}

/// Two requests were in flight, under a limit of one.
#[tokio::test(start_paused = true)]
async fn a_slot_stays_taken_when_its_limit_moves_to_a_model_and_back() {
    let any = || Limits::none().in_flight(CHAT, NonZeroU32::MIN);
    let own = || Limits::none().for_model("m", any());
    let call = Call::new(CHAT).with_model("m");
    let limiter = Limiter::new(any());
    let permit = limiter.acquire(call.clone()).await.unwrap();
    for table in [own(), any(), own()] {
        limiter.set_limits(table);
        assert!(limiter.try_acquire(&call).is_err());
    }
    let other = Call::new(CHAT).with_model("other");
    drop(limiter.try_acquire(&other).unwrap());
    drop(permit);
    let permit = limiter.try_acquire(&call).unwrap();
    limiter.set_limits(any());
    assert!(limiter.try_acquire(&other).is_err());
    drop(permit);
    drop(limiter.try_acquire(&other).unwrap());
}

/// Five million were sent at once.
#[tokio::test(start_paused = true)]
async fn a_burst_as_large_as_a_long_quota_is_a_limit() {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    for (max, per) in [(1_000_000, DAY), (300_000, 366 * DAY)] {
        let quota = Quota::new(max, per).unwrap().with_burst(max).unwrap();
        let limits = Limits::none().tokens(CHAT, quota);
        let limiter = Limiter::new(limits).adaptive(false);
        let call = chat(max / 1_000);
        let mut sent = 0;
        while sent <= 1_000 && limiter.try_acquire(&call).is_ok() {
            sent += 1;
        }
        // Less than a hundredth of the longest one is cut off.
        assert!((980..=1_000).contains(&sent), "{sent}");
        sleep(Duration::from_secs(60)).await;
        assert!(limiter.try_acquire(&call).is_err());
    }
}

/// A service that gives these responses, and then empty ones.
fn responding(
    responses: Vec<Response<String>>,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Send,
> + Clone {
    let responses = Arc::new(Mutex::new(responses.into_iter()));
    service_fn(move |_| {
        let response = responses.lock().unwrap().next().unwrap_or_default();
        ready(Ok(response.map(|body| Full::new(Bytes::from(body)))))
    })
}

fn request() -> Request<Full<Bytes>> {
    Request::post("https://api.together.ai/v1/chat/completions")
        .extension(Cost::of_tokens(30_000))
        .body(Full::default())
        .unwrap()
}

async fn read<S>(service: &S) -> StatusCode
where
    S: Service<Request<Full<Bytes>>, Response = Response<ResponseBody<Full<Bytes>>>> + Clone,
    S::Error: std::fmt::Debug,
{
    let response = service.clone().oneshot(request()).await.unwrap();
    let status = response.status();
    response.into_body().collect().await.unwrap();
    status
}

/// With a debt of 30,000 tokens, one response that named 0.1 a second closed the lane for 81 hours.
#[tokio::test(start_paused = true)]
async fn no_limit_that_a_server_names_closes_a_lane_for_more_than_an_hour() {
    for (name, absurd) in [
        ("x-tokenlimit-limit", "0.1"),
        ("x-tokenlimit-limit", "1e-300"),
        ("x-ratelimit-limit", "0.00001"),
        ("x-ratelimit-limit", "1e-300"),
    ] {
        let told = |limit: &str| {
            let response = Response::builder().header(name, limit);
            response.body(String::new()).unwrap()
        };
        let service = responding(vec![told("1000000"), told(absurd)]);
        let service = TogetherRateLimitLayer::new(Limits::none()).layer(service);
        for _ in 0..2 {
            read(&service).await;
        }
        let mut before = Instant::now();
        for _ in 0..3 {
            read(&service).await;
            assert!(
                before.elapsed() <= 61 * MINUTE,
                "{name} {absurd}: {:?}",
                before.elapsed()
            );
            before = Instant::now();
        }
    }
}

/// A 400 that quotes a prompt's "1 requests per minute" paced every request at that rate.
#[tokio::test(start_paused = true)]
async fn only_the_words_of_a_rejection_name_limits() {
    let quotes =
        r#"{"error":{"message":"no: 'Your rate limit is 1 requests per minute (0.017 QPS)'"}}"#;
    for (status, waits) in [(400, false), (422, false), (500, false), (429, true)] {
        let response = Response::builder().status(status).body(quotes.to_owned());
        let service = responding(vec![response.unwrap()]);
        let service = TogetherRateLimitLayer::new(Limits::none()).layer(service);
        read(&service).await;
        sleep(MINUTE).await;
        let start = Instant::now();
        for _ in 0..3 {
            read(&service).await;
        }
        assert_eq!(
            start.elapsed() > MINUTE,
            waits,
            "{status}: {:?}",
            start.elapsed()
        );
    }
}

/// A key with nothing but learned limits was in use for an hour, and new keys were rejected.
#[tokio::test(start_paused = true)]
async fn a_key_that_only_learned_something_makes_room_for_a_new_one() {
    let of_key = |name: &str| Call::new(CHAT).with_key(ApiKey::new(name));
    let limiter = Limiter::new(Limits::none()).with_max_keys(3);
    for name in ["first", "second", "third"] {
        drop(limiter.acquire(of_key(name)).await.unwrap());
        limiter.acquire(of_key(name)).await.unwrap().told(1.0);
        sleep(Duration::from_secs(5)).await;
    }
    let lives = |name: &str| {
        // The learned limit makes the second wait.
        drop(limiter.try_acquire(of_key(name)));
        limiter.try_acquire(of_key(name)).is_err()
    };
    drop(limiter.acquire(of_key("first")).await.unwrap());
    sleep(Duration::from_secs(5)).await;
    drop(limiter.try_acquire(of_key("new")).unwrap());
    // The second was idle for longest.
    assert!(lives("first") && lives("third") && !lives("new"));
    assert_eq!(limiter.snapshot().keys, 3);
    // A key in use is not forgotten for another key.
    let waiting = ["first", "third", "new"].map(|name| limiter.acquire(of_key(name)));
    let held = futures::future::join_all(waiting).await;
    drop(held);
    let limits = Limits::none().in_flight(CHAT, NonZeroU32::MIN);
    let limiter = Limiter::new(limits).with_max_keys(1);
    let _slot = limiter.acquire(of_key("busy")).await.unwrap();
    let rejected = limiter.try_acquire(of_key("new")).unwrap_err();
    assert_eq!(rejected.reason(), Reason::KeysFull);
}

/// With a pair of requests every two minutes the second waited 9.7 s, after 33 hours too.
#[tokio::test(start_paused = true)]
async fn what_was_learned_of_a_lane_with_little_traffic_is_forgotten_after_an_hour() {
    let limiter = Limiter::default();
    let start = Instant::now();
    let permit = limiter.acquire(Call::new(CHAT)).await.unwrap();
    permit.told(0.1);
    drop(permit);
    let mut waited = Duration::ZERO;
    while start.elapsed() < 70 * MINUTE {
        sleep(2 * MINUTE).await;
        for _ in 0..2 {
            waited = limiter.acquire(Call::new(CHAT)).await.unwrap().waited();
        }
        if start.elapsed() < 50 * MINUTE {
            assert!(waited > Duration::from_secs(8), "{waited:?}");
        }
    }
    // 600 a minute again.
    assert!(waited < Duration::from_millis(102), "{waited:?}");
}

/// The last of the three stayed at the guess of 600 a minute.
#[tokio::test(start_paused = true)]
async fn raising_all_that_share_a_guess_leaves_nothing_of_it() {
    let fast = || Quota::per_minute(3_000).unwrap();
    let endpoints = [CHAT, Endpoint::Completions, Endpoint::Embeddings];
    for first in 0..3 {
        let order = (0..3).map(|n| endpoints[(first + n) % 3]);
        let limits = order.fold(Limits::default(), |limits, one| {
            limits.requests(one, fast())
        });
        let limiter = Limiter::new(limits).adaptive(false);
        for endpoint in endpoints {
            let sent = sent(&limiter, &Call::new(endpoint), MINUTE).await;
            assert!(sent > 2_900, "{endpoint:?}: {sent}");
        }
    }
}
