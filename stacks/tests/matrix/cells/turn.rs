//! Whether a request leaves, and when.

use std::time::{Duration, Instant};

use tower_together::{Limiter, Limits, Quota};

use crate::{
    ask::{Ask, MARK},
    bench::{Bench, HOUR, limits, one_an_hour, until},
    response::AnyResponse,
    stacks::{Shows, Stack},
    upstream::Step,
    words::said,
};

pub(crate) async fn what_need_not_wait_gets_the_response_as_it_is<S: Stack>() {
    let bench = Bench::<S>::new(Limiter::new(Limits::default())).await;
    let response = bench.send(Ask::whole("hello")).await;
    assert_eq!((response.status, &*response.text), (200, "response 0"));
    if let Some(bytes) = &response.bytes {
        assert_eq!(*bytes, said(0));
    }
    if let Some(seen) = Bench::<S>::seen(&response) {
        assert!(!seen.waited && seen.attempts == 1 && seen.rejected.is_none());
    }
    assert_eq!(bench.heard(), ["hello"]);
    assert_eq!(bench.upstream.arrivals()[0].headers["x-mark"], MARK);
    assert_eq!(bench.limiter.snapshot().admitted, 1);
}

pub(crate) async fn what_comes_at_once_leaves_in_order_and_no_faster_than_the_limit<S: Stack>() {
    let bench = Bench::<S>::new(Limiter::new(one_an_hour())).await;
    let first = bench.send(Ask::whole("0")).await;
    assert_eq!(first.text, "response 0");
    // The queue is complete before it moves.
    let mut calls = Vec::new();
    for number in 1..5 {
        calls.push(bench.spawn(&number.to_string()));
        until(|| bench.waiting() == number).await;
    }
    let start = Instant::now();
    let twenty = limits(Quota::per_second(20).unwrap());
    bench.limiter.set_limits(twenty);
    for (number, call) in (1..).zip(calls) {
        let response = call.await.unwrap();
        assert_eq!(response.text, format!("response {number}"));
        if let Some(seen) = Bench::<S>::seen(&response) {
            assert!(seen.waited);
        }
    }
    assert_eq!(bench.heard(), ["0", "1", "2", "3", "4"]);
    for (number, arrival) in (0..).zip(bench.upstream.arrivals()).skip(1) {
        // The rest of the first call's hour has become a little shorter by then: 10 ms are allowed for 12 minutes.
        let least = Duration::from_millis(50) * number - Duration::from_millis(10);
        let after = arrival.at - start;
        assert!(after >= least, "{number}: {after:?}");
    }
}

pub(crate) async fn what_would_wait_too_long_is_rejected_as_the_api_would<S: Stack>() {
    let limiter = Limiter::new(one_an_hour()).with_max_wait(Duration::ZERO);
    let bench = Bench::<S>::new(limiter).await;
    bench.send(Ask::whole("first")).await;
    let response = bench.send(Ask::whole("second")).await;
    assert_rejected::<S>(&response, "max_wait", "longer than max_wait");
    assert_eq!(bench.heard(), ["first"]);
}

pub(crate) async fn what_would_miss_its_deadline_is_rejected_at_once<S: Stack>() {
    let bench = Bench::<S>::new(Limiter::new(one_an_hour())).await;
    bench.send(Ask::whole("first")).await;
    // A rejection at the deadline itself would be too late for `in_time`.
    let response = bench.send(Ask::whole("second").within(HOUR / 2)).await;
    assert_rejected::<S>(&response, "deadline", "before its deadline");
    assert_eq!(bench.heard(), ["first"]);
    assert_eq!(bench.limiter.snapshot().refused, 1);
}

fn assert_rejected<S: Stack>(response: &AnyResponse, reason: &str, message: &str) {
    assert_eq!(response.status, 429);
    assert!(response.text.contains(message), "{}", response.text);
    // gRPC has no equivalent.
    if response.bytes.is_some() || S::SHOWS == Shows::None {
        assert_eq!(response.code.as_deref(), Some(reason));
    }
    assert_eq!(response.retry_after.is_some(), S::SHOWS != Shows::None);
    if let Some(wait) = response.retry_after {
        let hour = HOUR.as_millis() as u64;
        assert!((hour / 2..=hour + 1_000).contains(&wait), "{wait}");
    }
    if let Some(seen) = Bench::<S>::seen(response) {
        assert_eq!(seen.rejected.as_deref(), Some(reason));
    }
}

pub(crate) async fn what_is_dropped_while_it_waits_costs_nothing<S: Stack>() {
    let bench = Bench::<S>::single().await;
    let (go, held) = Step::hold();
    bench.upstream.next(held);
    let first = bench.spawn("first");
    until(|| bench.upstream.count() == 1).await;
    let second = bench.spawn("second");
    until(|| bench.waiting() == 1).await;
    let third = bench.spawn("third");
    until(|| bench.waiting() == 2).await;

    second.abort();
    until(|| bench.waiting() == 1).await;
    go.send(()).unwrap();
    assert_eq!(first.await.unwrap().text, "response 0");
    assert_eq!(third.await.unwrap().text, "response 1");
    assert_eq!(bench.heard(), ["first", "third"]);
    assert_eq!(bench.limiter.snapshot().admitted, 2);
}

pub(crate) async fn what_is_dropped_under_way_gives_its_slot_back<S: Stack>() {
    let bench = Bench::<S>::single().await;
    let (_go, held) = Step::hold();
    bench.upstream.next(held);
    let first = bench.spawn("first");
    until(|| bench.upstream.count() == 1).await;
    let second = bench.spawn("second");
    until(|| bench.waiting() == 1).await;

    first.abort();
    assert_eq!(second.await.unwrap().text, "response 1");
    until(|| bench.free() == 1).await;
    assert_eq!(bench.heard(), ["first", "second"]);
}
