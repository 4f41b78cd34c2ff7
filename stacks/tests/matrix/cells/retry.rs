//! Transient failures.

use std::time::{Duration, Instant};

use crate::{ask::Ask, bench::Bench, stacks::Stack, upstream::Step, words::Fail};

pub(crate) async fn a_429_is_retried_when_the_server_said<S: Stack>() {
    let wait = Duration::from_millis(50);
    let fail = Fail {
        status: 429,
        wait: Some(wait),
    };
    let [failed, arrived] = sent_twice::<S>(fail).await;
    assert!(arrived - failed >= wait, "{:?}", arrived - failed);
}

pub(crate) async fn a_503_is_retried<S: Stack>() {
    sent_twice::<S>(Fail {
        status: 503,
        wait: None,
    })
    .await;
}

/// The instants at which the first attempt was told to fail, and at which the second arrived.
async fn sent_twice<S: Stack>(fail: Fail) -> [Instant; 2] {
    let bench = Bench::<S>::fast().await;
    bench.upstream.next(Step::Fail(fail));
    let response = bench.send(Ask::whole("hello")).await;
    assert_eq!((response.status, &*response.text), (200, "response 1"));
    if let Some(seen) = Bench::<S>::seen(&response) {
        assert_eq!(seen.attempts, 2);
    }
    let arrivals = bench.upstream.arrivals();
    let [first, second] = &arrivals[..] else {
        panic!("{}", arrivals.len());
    };
    assert_eq!((&*first.text, &*second.text), ("hello", "hello"));
    assert_eq!(first.headers, second.headers);
    assert_eq!(bench.limiter.snapshot().admitted, 2);
    [first.failed.unwrap(), second.at]
}
